"""Every fault that the doctor is tried on: they are listed by being imported."""

from __future__ import annotations

import doctor_faults
import doctor_faults_aws
import doctor_faults_login
from doctor_support import FAULTS

__all__ = ["FAULTS", "doctor_faults", "doctor_faults_aws", "doctor_faults_login"]
