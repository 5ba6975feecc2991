"""Whether a tracking store can be used, found out before the first task, without MLflow, which takes time to load."""

import os
import shlex
import shutil
import sqlite3
import sys
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from pipeline.components.secrets import masked

SECONDS = 5  # to wait for an answer
SERVER_UNAVAILABLE = (502, 503, 504)
PACKAGES = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}  # by module
TIMEOUTS = {"psycopg": "connect_timeout", "psycopg2": "connect_timeout", "pymysql": "connect_timeout",
            "mysqldb": "connect_timeout", "pyodbc": "timeout", "pymssql": "login_timeout"}  # by driver  # fmt: skip


def why_unusable(uri: str) -> str:
    """Say why a store cannot be used now.

    Parameters
    ----------
    uri : str
        http://..., https://..., or the URI of a database.

    Returns
    -------
    str
        The cause and the cure in one line, without passwords; "" if the store answers.
    """
    if uri.startswith("sqlite:///"):
        return _why_no_file(Path(uri.removeprefix("sqlite:///")))
    cause = _why_no_server(uri) if uri.startswith("http") else _why_no_database(uri)
    return " ".join(str(masked(cause)).split())


def _why_no_file(path: Path) -> str:
    """The file of an SQLite store is a database, or can be created. A locked one is in use, and will be free again."""
    if not path.exists():
        folder = next(parent for parent in path.parents if parent.exists())
        if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
            return "" if shutil.disk_usage(folder).free else f"the disk of {folder} is full; free some space"
        return f"{folder} is {'not writable' if folder.is_dir() else 'not a folder'}; name a file that can be written"
    if not path.is_file() or not os.access(path, os.W_OK):
        return f"{path} is {'not writable' if path.is_file() else 'not a file'}; name a file that can be written"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as error:
        return "" if "locked" in str(error) else f"{error}; name an SQLite file of MLflow, or one that does not exist"
    return ""


def _why_no_server(uri: str) -> str:
    """Any answer will do: whether it asks for a password, MLflow knows. So none is sent; urlopen does not take one."""
    cure = "start the server, or correct the address"
    address = urlsplit(uri)
    without_password = address._replace(netloc=address.netloc.rpartition("@")[2]).geturl()
    try:
        with urlopen(f"{without_password.rstrip('/')}/health", timeout=SECONDS):  # noqa: S310 - http or https
            return ""
    except HTTPError as error:
        return f"it answers {error.code} {error.reason}; {cure}" if error.code in SERVER_UNAVAILABLE else ""
    except URLError as error:
        reason = getattr(error.reason, "strerror", None) or str(error.reason)
        return "" if "CERTIFICATE" in reason else f"{reason}; {cure}"
    except (OSError, HTTPException, ValueError) as error:
        return f"{str(error) or type(error).__name__}; {cure}"


def _why_no_database(uri: str) -> str:
    import sqlalchemy  # takes time to load
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        url = sqlalchemy.make_url(uri)
        timeout = {name: SECONDS for driver, name in TIMEOUTS.items() if driver == url.get_dialect().driver}
        engine: Any = sqlalchemy.create_engine(url, poolclass=NullPool, connect_args=timeout)
        with engine.connect():
            return ""
    except ModuleNotFoundError as error:
        install = [sys.executable, "-m", "pip", "install", PACKAGES.get(str(error.name), str(error.name))]
        return f"it needs the package {error.name}: {shlex.join(install)}"
    except ImportError as error:
        return f"its driver cannot be loaded ({error}); install it again"
    except SQLAlchemyError as error:
        return f"{getattr(error, 'orig', None) or error}; start the database, or correct the address"
