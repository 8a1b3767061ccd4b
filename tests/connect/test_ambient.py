"""The region of the AWS session is the one that botocore finds, or an error that says why not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConfigParseError, ProfileNotFound
from botocore.session import Session
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from sqlalchemy_rds_iam import ConfigError, CredentialsError
from sqlalchemy_rds_iam._access import Access
from sqlalchemy_rds_iam._aws.ambient import ambient_region, nearest_region, profile_region
from sqlalchemy_rds_iam._aws.sessions import botocore_session
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam._endpoints.regions import as_region
from sqlalchemy_rds_iam.testing import RdsEmulator

GLOBAL = "shop.global-abc123.global.rds.amazonaws.com"
URL = f"postgresql+psycopg://app@{GLOBAL}/app?plugin=rds_iam&rds_iam_tls=require"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The home of the test, which has no files yet."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".aws").mkdir()
    return tmp_path


# What files and variables are made of. Few names and few values, so that they meet.
PROFILES = ["default", "a", "team a", "A", "profile a", "ä", "a\tb", "", " "]
SECTIONS = [
    *("default", "DEFAULT", "Default", " default", "default ", '"default"', "preview", "plugins"),
    *("a", "A", "team a", "profile a", "profile  a", "profile\ta", "profile\xa0a", " profile a"),
    *(
        "profile a ",
        'profile "a"',
        "profile 'a'",
        'profile "team a"',
        "profile team\\ a",
        "profile",
    ),
    *("profile team a", 'profile "a', "profile a b", "profiles a", "profilea", "Profile a"),
    *("profile default", 'profile "default"', "profile A", "profile ä", 'profile "a\tb"'),
    *('profile ""', "sso-session a", "services a", "a] ; [b", "profile a # b"),
]
VALUES = [
    *("eu-west-1", "us-east-1", "us-gov-west-1", "cn-north-1", ""),
    *("eu-west-1 # home", "eu-west-1 ; home", "%(other)s", "%", "$AWS_PROFILE", "eu-west-1\xa0"),
    *('"eu-west-1"', "eu-west-1a", "Ireland", "EU-WEST-1", "eu-west-\u0661"),
]
KEYS = [
    "region",
    "Region",
    "REGION",
    " region",
    "region ",
    "regions",
    "output",
    "aws_access_key_id",
]
LINES = st.one_of(
    st.sampled_from(SECTIONS).map(lambda name: f"[{name}]"),
    st.sampled_from(["[default]", "[profile a]", "[a]"]),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(KEYS),
        st.sampled_from(["=", " = ", ":", " : ", "=\t", " "]),
        st.sampled_from(VALUES),
    ),
    st.builds("region = {}".format, st.sampled_from(VALUES)),
    st.sampled_from(
        [
            *("", " ", "# region = x", "; region = x", "s3 =", "  max = 1", "  region = us-west-2"),
            *("  [profile a]", "\tnested", "junk", "=x", "[", "[]", "rem x", "s3 =\n  a = b\n  c"),
        ]
    ),
)
FILES = st.one_of(
    st.none(),
    st.builds(
        lambda bom, lines, end: (bom + end.join([*lines, ""])).encode(),
        st.sampled_from(["", "", "", "", "\ufeff"]),
        st.lists(LINES, max_size=8),
        st.sampled_from(["\n", "\n", "\r\n", "\r"]),
    ),
    # Well-formed ones, that random lines seldom are.
    st.builds(
        lambda sections: "".join(
            f"[{name}]\nregion = {value}\n" for name, value in sections
        ).encode(),
        st.lists(
            st.tuples(st.sampled_from(SECTIONS), st.sampled_from(VALUES)),
            max_size=4,
            unique_by=lambda pair: pair[0],
        ),
    ),
    st.sampled_from([b"[default]\nregion = eu-west-1\n# \xe4\n", b"\x00", b"[default]\nregion\n"]),
)
ENVIRONMENTS = st.fixed_dictionaries(
    {},
    optional={
        "AWS_REGION": st.sampled_from(["", " ", "eu-north-1", " eu-north-1\n"]),
        "AWS_DEFAULT_REGION": st.sampled_from(["", "eu-south-1", "eu-south-1 ", "Milan"]),
        "AWS_PROFILE": st.sampled_from([*PROFILES, "nosuch"]),
        "AWS_DEFAULT_PROFILE": st.sampled_from([*PROFILES, "nosuch"]),
        "AWS_CONFIG_FILE": st.sampled_from(
            [
                *("", "~/.aws/config", "$HOME/.aws/config", "${HOME}/.aws/config"),
                *("$NOSUCH/config", "~/.aws", "~no-such-user/config", "~/.aws/credentials"),
            ]
        ),
        "AWS_SHARED_CREDENTIALS_FILE": st.sampled_from(
            ["", "~/.aws/credentials", "$HOME/.aws/credentials", "/nonexistent", "~/.aws/config"]
        ),
    },
)


def _as_botocore(profile: str | None) -> str | None:
    """What botocore finds, with those exceptions that are meant.

    - `AWS_REGION` counts, and comes first: the other SDKs have it so, and AWS Lambda sets it alone.
    - What is empty is not given. botocore fails for an empty AWS_PROFILE, reads no file at all for
      an empty AWS_CONFIG_FILE, and takes an empty region for one.
    - White space around a region is dropped: botocore refuses it when it makes a client.
    - Where botocore cannot read a file, or does not find the profile, there is no region: it says
      so itself when it has to find the credentials.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in os.environ.items():
            if name.startswith("AWS_") and not value.strip():
                patch.delenv(name)
        if region := os.environ.get("AWS_REGION"):
            return region.strip()
        try:
            # Without what it does to requests, which takes long to set up.
            session = Session(profile=profile, include_builtin_handlers=False)
            found = session.get_config_variable("region")
        except (ConfigParseError, ProfileNotFound):
            return None
    return str(found or "").strip() or None


def _is_region(text: str) -> bool:
    try:
        as_region(text)
    except ValueError:
        return False
    return True


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    config=FILES,
    credentials=FILES,
    environ=ENVIRONMENTS,
    profile=st.none() | st.sampled_from(PROFILES[:-2]),
)
# Those that were read otherwise once.
@example(b"", b"[default]\nregion=eu-west-2\n", {}, None)
@example(b"[default]\nregion=eu-west-1\n", b"[default]\nregion=eu-west-2\n", {}, None)
@example(b"[profile default]\nregion=eu-west-2\n", None, {}, None)
@example(b"[default]\nregion=eu-west-1\n[profile default]\noutput=x\n", None, {}, None)
@example(b'[profile "team a"]\nregion=eu-west-2\n', None, {"AWS_PROFILE": "team a"}, None)
@example(b"[profile\ta]\nregion=eu-west-2\n", None, {}, "a")
@example(b"[profile  a]\nregion=eu-west-2\n", None, {}, "a")
@example(b"[default]\nregion=eu-west-2\n", None, {"AWS_CONFIG_FILE": "$HOME/.aws/config"}, None)
@example(b"\xef\xbb\xbf[default]\nregion=eu-west-2\n", None, {}, None)
@example(b"[default]\nregion=eu-west-1\nregion=eu-west-2\n", None, {}, None)
@example(b"[default]\nregion=eu-west-1\n[default]\nregion=eu-west-2\n", None, {}, None)
@example(b"[default]\nregion=eu-west-1\ns3=\n  nonsense\n", None, {}, None)
@example(b"[DEFAULT]\nregion=eu-west-1\n[profile a]\noutput=x\n", None, {}, "a")
@example(b"[default]\nregion=eu-west-1\n", b"broken", {}, None)
@example(b"[default]\nregion=eu-west-1\n", None, {"AWS_PROFILE": "nosuch"}, None)
@example(b"[profile a]\nregion=eu-west-1\n", b"[a]\nregion=\n", {}, "a")
@example(
    b"[profile a]\nregion=eu-west-1\n[profile A]\nregion=eu-west-2\n",
    None,
    {"AWS_PROFILE": "A", "AWS_DEFAULT_PROFILE": "a"},
    None,
)
def test_as_botocore_finds_it(
    home: Path,
    config: bytes | None,
    credentials: bytes | None,
    environ: dict[str, str],
    profile: str | None,
) -> None:
    """Whatever files and variables look like: botocore's region, none, or a refusal."""
    for name, content in (("config", config), ("credentials", credentials)):
        file = home / ".aws" / name
        if content is None:
            file.unlink(missing_ok=True)
        else:
            file.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        expected = _as_botocore(profile)
        try:
            found = profile_region(profile)
        except ConfigError:
            assert expected is not None
            assert not _is_region(expected)
            return
        assert found == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("eu-west-1a", "; this is a zone of 'eu-west-1'"),
        ("us-east-1-bos-1a", "; this is a zone of 'us-east-1'"),
        ("us-east-1-wl1-bos-wlz-1", ", by its code"),
        ('"eu-west-1"', "; write eu-west-1 without quotes"),
        ("'eu-west-1'", "; write eu-west-1 without quotes"),
        ("EU-WEST-1", "; write eu-west-1"),
        ("eu_west_1", "; write eu-west-1"),
        ("Ireland", ", by its code and not by its name"),
        ("us-east1", ", by its code"),
        ("eu-west-\u0661", ", by its code"),
        ("eu-west-1\nx", ", by its code"),
        ("euw1-az1", ", by its code"),
        ("aws-global", ", by its code"),
        ("eu-west-1,us-east-1", ", by its code"),
    ],
)
def test_what_is_no_region(
    text: str, says: str, home: Path, monkeypatch: pytest.MonkeyPatch, ca: str
) -> None:
    """It is refused wherever it is said, with the place, the value and what to write instead."""
    with pytest.raises(ConfigError) as caught:
        create_engine(URL, rds_iam_region=text)
    assert f"rds_iam_region={text!r}: expected a region such as 'eu-central-1'{says}" in str(
        caught.value
    )
    with pytest.raises(ConfigError, match=r"^rds_secret_region="):
        create_engine(
            "postgresql+psycopg://?plugin=rds_secret&rds_secret_id=x", rds_secret_region=text
        )
    session = Session()
    session.set_config_variable("region", text)
    with pytest.raises(ConfigError, match=r"^the region of rds_iam_session="):
        create_engine(URL, rds_iam_session=session)
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.setenv(name, text)
        with pytest.raises(ConfigError) as caught:
            create_engine(URL)
        assert f"{name}={text!r}: expected a region such as 'eu-central-1'{says}" in str(
            caught.value
        )
        with pytest.raises(ConfigError, match=f"^{name}="):
            create_engine("postgresql+psycopg://?plugin=rds_secret&rds_secret_id=x")


@pytest.mark.parametrize(
    ("name", "content", "line", "environ"),
    [
        ("config", "[default]\nregion = eu-west-1a\n", 2, {}),
        ("config", "# region = x\n[a]\nregion=x\n\n[default]\n\nRegion: Ireland\n", 7, {}),
        ("config", '[profile a]\nregion=x\n[profile "team a"]\nregion=y z\n', 4, "team a"),
        ("config", "[DEFAULT]\nregion = Ireland\n[profile a]\noutput = x\n", 2, "a"),
        ("config", "[default]\r\nregion =\r\n  a = b\r\n", 2, {}),
        ("credentials", '[a]\nregion=eu-west-1\n[default]\nregion = "us-east-1"\n', 4, {}),
    ],
)
def test_the_line_of_a_file(
    name: str,
    content: str,
    line: int,
    environ: Any,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is no region in a file is named by file and line."""
    file = home / ".aws" / name
    file.write_bytes(content.encode())
    if environ:
        monkeypatch.setenv("AWS_PROFILE", environ)
    with pytest.raises(ConfigError, match=f"^{file}, line {line}: region='.*': expected a region"):
        _ = Access(URL).plan


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xef\xbb\xbf[default]\nregion = eu-west-1\n", "line 1 begins with a byte order mark"),
        (b"[default]\nregion = eu-west-1\nregion = eu-west-1\n", "line 3 repeats a setting"),
        (b"[default]\nregion = eu-west-1\n# \xe4\n", "line 3 has a byte that is no"),
        (b"[default]\nregion = eu-west-1\ns3 =\n  nonsense\n", "line 4 is no setting"),
        (b"region = eu-west-1\n", "line 1 stands before the first"),
    ],
)
@pytest.mark.parametrize("name", ["config", "credentials"])
def test_a_file_that_cannot_be_parsed(
    name: str, content: bytes, says: str, home: Path, monkeypatch: pytest.MonkeyPatch, ca: str
) -> None:
    """It is named where the region is needed; elsewhere it is left to those who need the file."""
    file = home / ".aws" / name
    file.write_bytes(content)
    secret = "postgresql+psycopg://?plugin=rds_secret&rds_secret_id=x"
    for make in (
        lambda: Access(URL).plan,
        lambda: create_engine(URL),
        lambda: create_engine(secret),
    ):
        with pytest.raises(ConfigError, match=f"^no region, as {file} cannot be parsed: {says}"):
            make()
    host = "db.abc123.eu-west-1.rds.amazonaws.com"
    create_engine(URL.replace(GLOBAL, host)).dispose()
    create_engine(f"postgresql+psycopg://{host}/?plugin=rds_secret&rds_secret_id=x").dispose()
    assert ambient_region(IamOptions()) is None
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    assert Access(URL).endpoint.region == "eu-west-2"


@pytest.mark.parametrize("text", [" eu-west-1", "eu-west-1\n", "\teu-west-1 \r\n", "eu-west-1\xa0"])
def test_white_space(text: str, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """White space around a region is dropped, wherever the region comes from."""
    assert IamOptions.take({}, {"rds_iam_region": text}).region == "eu-west-1"
    keywords = {"rds_secret_region": text, "rds_secret_id": "x"}
    assert SecretOptions.take({}, keywords).region == "eu-west-1"
    session = Session()
    session.set_config_variable("region", text)
    assert ambient_region(IamOptions(session=session)) == "eu-west-1"
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.setenv(name, text)
        assert Access(URL).endpoint.region == "eu-west-1"
        assert botocore_session(None).get_config_variable("region") == "eu-west-1"
        monkeypatch.delenv(name)


def test_sessions_of_botocore(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are made to find credentials have the same region, for STS."""
    (home / ".aws" / "config").write_text("[profile a]\nregion = eu-west-3\n[default]\nregion=x\n")
    assert botocore_session("a").get_config_variable("region") == "eu-west-3"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "")
    assert botocore_session("a").get_config_variable("region") == "eu-west-3"
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert botocore_session("a").get_config_variable("region") == "eu-west-1"


def test_aws_region_comes_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Botocore does not read it, every other SDK does, and AWS Lambda sets it."""
    (home / ".aws" / "config").write_text("[default]\nregion = eu-west-3\n")
    assert Access(URL).endpoint.region == "eu-west-3"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    assert Access(URL).endpoint.region == "eu-west-2"
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert Access(URL).endpoint.region == "eu-west-1"


def test_sessions_bring_their_own(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """A session handed in brings its own region, and one that cannot find any brings none."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    session = Session()
    assert ambient_region(IamOptions(session=session)) is None
    session.set_config_variable("region", "eu-north-1")
    assert ambient_region(IamOptions(session=session)) == "eu-north-1"
    assert ambient_region(IamOptions(session=Session(profile="nosuch"))) is None
    assert ambient_region(IamOptions(session=object())) is None


def test_what_is_not_asked_for(home: Path, monkeypatch: pytest.MonkeyPatch, ca: str) -> None:
    """Where the host names the region and no role is assumed, no other setting of it is checked."""
    monkeypatch.setenv("AWS_REGION", "Ireland")
    url = "postgresql+psycopg://app@db.abc123.eu-west-1.rds.amazonaws.com/app?plugin=rds_iam"
    create_engine(url).dispose()
    role = {"rds_iam_role_arn": "arn:aws:iam::123456789012:role/app"}
    with pytest.raises(ConfigError, match=r"^AWS_REGION='Ireland'"):
        create_engine(url, **role)
    named = "https://sts.eu-west-2.amazonaws.com"
    create_engine(url, **role, rds_iam_sts_endpoint_url=named).dispose()


def test_nearest(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """STS is asked where we run, else in the region asked for, else in the database's."""
    host = parse_host("db.abc123.eu-west-1.rds.amazonaws.com")
    assert nearest_region(IamOptions(), host) == "eu-west-1"
    assert nearest_region(IamOptions(region="eu-west-2"), host) == "eu-west-2"
    (home / ".aws" / "credentials").write_text("[default]\nregion = eu-west-3\n")
    assert nearest_region(IamOptions(region="eu-west-2"), host) == "eu-west-3"


def test_no_region_for_a_web_identity(
    connect: Callable[..., Any],
    rds: RdsEmulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Where STS has to be asked, the connect says what is wrong with the region, at once."""
    (tmp_path / "token").write_text("token")
    for name in rds.key.environ():
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", rds.identities.role("pod").arn)
    monkeypatch.setenv("AWS_REGION", "eu-west-1a")
    options = {"rds_iam_failure_ttl": "0"}
    error = connect(options=options).raises(CredentialsError)
    assert "no region for STS: AWS_REGION='eu-west-1a': expected" in str(error)
    assert not error.retryable
    monkeypatch.setenv("AWS_REGION", " eu-west-1 ")
    monkeypatch.setattr(rds.aws.sts, "web_identity_tokens", {"token"})
    assert connect(options=options).scalar("select 1") == 1
