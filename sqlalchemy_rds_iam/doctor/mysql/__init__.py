"""MySQL and MariaDB for the doctor: their protocol, their answers, their variables and grants."""
