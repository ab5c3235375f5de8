"""`stellwerk backup` and `stellwerk restore`: everything durable of a server, into one file and back."""

from pathlib import Path
from typing import Annotated

import typer

from stellwerk.cli.serve import ConfigOption, SetOption, load_or_end
from stellwerk.settings.loading import flag

DataDirOption = Annotated[Path | None, typer.Option("--data-dir", help="Folder of everything durable.")]


def backup(
    archive: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to write; must not exist.")],
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Write database, certificate authority and secret key into one file, while the server runs.

    It holds every secret of the server: keep it as safe as the data directory.

    Example: stellwerk backup /backups/monday.tar --data-dir /var/lib/stellwerk
    """
    given = flag("data_dir", None if data_dir is None else str(data_dir), "--data-dir")
    settings = load_or_end(config, [] if given.raw is None else [given], set_).settings
    from stellwerk.app.backup import BackupRefused, back_up

    embedded = not settings.database.url.startswith("postgres")
    authority = settings.trust.authority_dir or settings.data_dir / "authority"
    try:
        manifest = back_up(archive, settings.data_dir, authority, embedded=embedded)
    except BackupRefused as refused:
        raise _failed(refused) from None
    if not embedded:
        typer.echo("the database is PostgreSQL's and not in it: back it up with pg_dump", err=True)
    size = sum(one.size_bytes for one in manifest.files)
    typer.echo(f"{archive}: {len(manifest.files)} files, {size} bytes")


def restore(
    archive: Annotated[Path, typer.Argument(metavar="FILE", help="An archive that `backup` wrote.")],
    data_dir: Annotated[Path, typer.Option("--data-dir", help="The folder to make; must be new or empty.")],
) -> None:
    """Make a data directory of a backup; start the server on it afterwards.

    Example: stellwerk restore /backups/monday.tar --data-dir /var/lib/stellwerk-2
    """
    from stellwerk.app import backup as archives

    try:
        manifest = archives.restore(archive, data_dir)
    except archives.BackupRefused as refused:
        raise _failed(refused) from None
    typer.echo(f"{data_dir} is restored; start it with: stellwerk serve --data-dir {data_dir}")
    if not manifest.database:
        typer.echo("the database is PostgreSQL's and was not in the backup", err=True)


def _failed(refused: Exception) -> typer.Exit:
    typer.echo(str(refused), err=True)
    return typer.Exit(1)
