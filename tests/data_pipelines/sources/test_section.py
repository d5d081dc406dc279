import argparse
import dataclasses

import pytest

from configs import base
from data_pipelines.sources.section import DataSection, add_section_flags, section_of


def parsed(*flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_section_flags(parser)
    return parser.parse_args(flags)


def test_defaults_are_those_of_the_config() -> None:
    data = base.get_config().data
    for field in dataclasses.fields(DataSection):
        if field.name != "source":
            assert data[field.name] == field.default


@pytest.mark.parametrize(
    ("place", "flags", "fields"),
    [
        ("videos", (), {"source": "folder", "root": "videos"}),
        ("list.csv", (), {"source": "csv", "manifest": "list.csv", "root": "elsewhere"}),
        ("a/b.JSONL", (), {"source": "jsonl", "manifest": "a/b.JSONL", "root": "elsewhere"}),
        ("k", ("--source=kinetics", "--trimmed"), {"source": "kinetics", "trimmed": True}),
        ("u", ("--source=ucf101", "--list_split=2"), {"source": "ucf101", "list_split": 2}),
    ],
)
def test_flags_become_a_section(place: str, flags: tuple[str, ...], fields: dict) -> None:
    section = section_of(parsed(*flags), place, root="elsewhere")
    assert {name: getattr(section, name) for name in fields} == fields
