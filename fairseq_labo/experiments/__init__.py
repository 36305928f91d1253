"""The workbench around the plugin: corpora, training, evaluation, studies; the command `labo`.

``--user-dir fairseq_labo`` never imports anything of it, and it needs what the extra
``fairseq_labo[all]`` installs.
"""
