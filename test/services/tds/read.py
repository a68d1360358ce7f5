"""Reads with python-tds, which shares no code with the server: SQL per line on stdin, rows as JSON per line on stdout.

Every value becomes text in the form that the server's own CAST to varchar has, so that a test can compare it.
"""

import datetime
import decimal
import json
import struct
import sys
import uuid

import pytds


def fraction(value, digits=6):
    return f".{value.microsecond:06d}"[: digits + 1] if digits else ""


def text(value):
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, bytes):
        return "0x" + value.hex().upper()
    if isinstance(value, uuid.UUID):
        return str(value).upper()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, float):
        return "f" + struct.pack(">d", value).hex()
    if isinstance(value, datetime.datetime):
        zone = value.utcoffset()
        base = value.replace(tzinfo=None).isoformat(" ", "microseconds")
        if zone is None:
            return base
        minutes = int(zone.total_seconds() // 60)
        sign = "-" if minutes < 0 else "+"
        return f"{base} {sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    if isinstance(value, datetime.time):
        return value.isoformat("microseconds")
    return str(value)


def main():
    host, port, user, password, database = sys.argv[1:6]
    with pytds.connect(
        dsn=host,
        port=int(port),
        user=user,
        password=password,
        database=database,
        autocommit=True,
        bytes_to_unicode=True,
    ) as connection:
        with connection.cursor() as cursor:
            for line in sys.stdin:
                request = json.loads(line)
                try:
                    cursor.execute(request["sql"], tuple(request.get("params", [])) or ())
                    rows = cursor.fetchall() if cursor.description else []
                    answer = {
                        "columns": [column[0] for column in cursor.description or []],
                        "rows": [[text(value) for value in row] for row in rows],
                    }
                except pytds.Error as error:
                    answer = {
                        "error": getattr(error, "message", str(error)),
                        "number": getattr(error, "number", None),
                    }
                print(json.dumps(answer), flush=True)


main()
