"""Faults of TLS and of certificates."""

# ruff: noqa: D103  (the name of a fault is what there is to say)

from __future__ import annotations

import shutil
import socket
import struct

import trustme
from doctor_support import Ward, fault, pose

from sqlalchemy_rds_iam.doctor.state import State

OTHER = "other-db.c0ffee123456.us-east-1.rds.amazonaws.com"
ELSEWHERE = "what listens there is not to be changed from here"


@fault("ca-file")
def ca_file_missing(ward: Ward) -> None:
    file = ward.directory / "nowhere.pem"
    ward.options(rds_iam_ca=str(file))
    ward.effects["^curl .*global-bundle.pem$"] = lambda: shutil.copy(ward.rds.ca_file, file)


@fault("ca-file")
def ca_file_that_is_an_error_page(ward: Ward) -> None:
    file = ward.directory / "bundle.pem"
    file.write_text("<html>404 Not Found</html>\n")
    ward.options(rds_iam_ca=str(file))
    ward.effects["^curl .*global-bundle.pem$"] = lambda: shutil.copy(ward.rds.ca_file, file)


@fault("certificate-untrusted")
def bundle_that_is_out_of_date(ward: Ward) -> None:
    older = trustme.CA(
        organization_name="Amazon Web Services, Inc.", organization_unit_name="Amazon RDS"
    )
    file = ward.directory / "older.pem"
    older.cert_pem.write_to_path(str(file))
    ward.options(rds_iam_ca=str(file))
    ward.effects["^curl .*global-bundle.pem$"] = lambda: shutil.copy(ward.rds.ca_file, file)


@fault("tls-declined", by_hand=ELSEWHERE)
def tls_downgrade(ward: Ward) -> None:
    ward.rds.gateway.decline_tls = True


@fault("tls-declined")
def port_of_another_postgresql(ward: Ward) -> None:
    right = ward.rds.address[1]
    ward.patch.setattr(State, "usual_port", right)
    ward.url = ward.rds.url().set(port=ward.server(_without_tls))


def _without_tls(client: socket.socket) -> None:
    """A PostgreSQL of its own, which has no TLS and asks for MD5."""
    length, code = struct.unpack("!II", client.recv(8))
    if (length, code) == (8, 80877103):
        client.sendall(b"N")
        client.recv(4096)
        return
    client.recv(length - 8)
    client.sendall(b"R" + struct.pack("!II", 12, 5) + b"salt")
    client.recv(4096)


@fault("certificate-untrusted", by_hand=ELSEWHERE)
def wrong_ca(ward: Ward) -> None:
    ward.rds.gateway.certificate = ward.rds.certificates.unrelated()


@fault("certificate-name", by_hand=ELSEWHERE)
def wrong_name(ward: Ward) -> None:
    ward.rds.gateway.certificate = ward.rds.certificates.other_host()


@fault("certificate-name")
def tunnel_to_another_database(ward: Ward) -> None:
    pose(ward, OTHER)


@fault("certificate-expired")
def expired_server_certificate(ward: Ward) -> None:
    gateway = ward.rds.gateway
    gateway.certificate = ward.rds.certificates.expired()
    ward.effects["modify-db-instance .*--certificate-rotation-restart"] = lambda: setattr(
        gateway, "certificate", ward.rds.certificates.valid()
    )


@fault("server-not-rds", by_hand="a pooler is to be gone around")
def pooler_with_passwords_of_its_own(ward: Ward) -> None:
    certificates = ward.rds.certificates
    ward.rds.gateway.certificate = certificates.unrelated()
    file = ward.directory / "pooler.pem"
    certificates._unrelated.cert_pem.write_to_path(str(file))
    ward.rds.create_user("pooled", iam=False)
    ward.url = ward.rds.url(user="pooled", rds_iam_ca=str(file))
