"""Every fault that the doctor is tried on: they are listed by being imported."""

from __future__ import annotations

import doctor_faults
import doctor_faults_aws
import doctor_faults_credentials
import doctor_faults_login
import doctor_faults_mysql
import doctor_faults_mysql_url
import doctor_faults_tls
import doctor_faults_url
from doctor_support import FAULTS

__all__ = [
    "FAULTS",
    "doctor_faults",
    "doctor_faults_aws",
    "doctor_faults_credentials",
    "doctor_faults_login",
    "doctor_faults_mysql",
    "doctor_faults_mysql_url",
    "doctor_faults_tls",
    "doctor_faults_url",
]
