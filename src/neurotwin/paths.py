"""Where the files that come with neurotwin are."""

from pathlib import Path

from neurotwin.errors import ConfigError


def conf_dir() -> Path:
    """The configuration tree: inside the installed package, else at the top of the repository.

    Raises:
        ConfigError: there is none, so the installation is not whole.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "conf", package.parent.parent / "conf"):
        if folder.is_dir():
            return folder
    raise ConfigError("the configuration files are missing", where=str(package), remedy="install neurotwin again")
