"""What a search can be told on its command line; here, so that `--help` does not wait for Optuna."""

GRID = "grid"
SAMPLERS = ("tpe", "gp", "qmc", GRID)
NO_PRUNER = "none"
PRUNERS = ("median", NO_PRUNER, "hyperband")

JOURNAL = "journal"
STORAGE_HELP = (
    "where the study is kept: a file.db (SQLite), a file.log (Optuna's journal), journal, or the URL of a database "
    "(default: study.db in the study's folder). On a network file system (NFS) SQLite can be corrupted and journals "
    "have had torn lines: take a database there, such as postgresql://user@host/name, or a file on a local disk"
)
