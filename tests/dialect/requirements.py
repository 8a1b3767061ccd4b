"""What MariaDB can do, for the tests of SQLAlchemy's suite that ask before they run.

SQLAlchemy's defaults are those of no database in particular. A class that says otherwise has to be
importable by name: https://github.com/sqlalchemy/sqlalchemy/blob/main/README.dialects.rst
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

_CAN = (
    # transactions
    *("autocommit", "isolation_level", "savepoints", "two_phase_transactions"),
    # queries
    *("boolean_col_expressions", "ctes", "ctes_with_values", "delete_from", "except_"),
    *("fetch_first", "intersect", "order_by_label_with_expression", "regexp_match"),
    *("regexp_replace", "tuple_in", "update_from", "window_functions", "window_range"),
    *("supports_bitwise_and", "supports_bitwise_or", "supports_bitwise_shift"),
    *("supports_bitwise_xor", "mod_operator_as_percent_sign", "dbapi_lastrowid"),
    # tables, views, and what is reflected of them
    *("create_or_replace_view", "create_table_as", "create_temp_table_as", "has_temp_table"),
    *("table_ddl_if_exists", "index_ddl_if_exists", "unicode_ddl", "percent_schema_names"),
    *("views", "schema_create_delete", "implicit_default_schema", "cross_schema_fk_reflection"),
    *("server_defaults", "expression_server_defaults", "reflect_table_options"),
    *("computed_columns", "computed_columns_stored", "computed_columns_virtual"),
    *("computed_columns_reflect_persisted", "column_collation_reflection"),
    *("comment_reflection", "temp_table_comment_reflection", "check_constraint_reflection"),
    *("unique_constraints_reflect_as_index", "unique_index_reflect_as_unique_constraints"),
    *("foreign_keys_reflect_as_index", "foreign_key_constraint_name_reflection"),
    *("foreign_key_constraint_option_reflection_ondelete",),
    *("foreign_key_constraint_option_reflection_onupdate",),
    *("fk_constraint_option_reflection_ondelete_noaction",),
    # types
    *("json_type", "uuid_data_type", "date_historic", "datetime_historic", "datetime_literals"),
    *("precision_numerics_enotation_small", "precision_numerics_retains_significant_digits"),
)
_CANNOT = (
    *("date_implicit_bound", "datetime_implicit_bound", "time_implicit_bound"),
    *("datetime_microseconds", "time_microseconds", "unbounded_varchar"),
    *("precision_generic_float_type", "sql_expression_limit_offset"),
)


class MariaDB(SuiteRequirements):
    """MariaDB from 10.6 on."""

    def get_isolation_levels(self, config: Any) -> dict[str, Any]:
        """The level that sessions begin with, and all that can be asked for."""
        levels = config.db.dialect.get_isolation_level_values(None)
        return {"default": "REPEATABLE READ", "supported": levels}


for _names, _answer in ((_CAN, exclusions.open), (_CANNOT, exclusions.closed)):
    for _name in _names:
        setattr(MariaDB, _name, property(lambda _, answer=_answer: answer()))
