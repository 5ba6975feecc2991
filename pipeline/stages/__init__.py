"""The stages from raw rows to a published model: plain functions from typed artefacts to one artefact.

A stage with settings is a frozen dataclass that is called with its inputs.
"""
