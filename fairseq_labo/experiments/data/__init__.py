"""Parallel corpora for fairseq: raw text, Moses tokens, joint BPE, binarized data."""
