"""fairseq-train with this package's criterions, beside those of another ``--user-dir``.

fairseq imports one such folder; importing this module has registered what is in the package.
"""

from fairseq_cli.train import cli_main

if __name__ == "__main__":
    cli_main()
