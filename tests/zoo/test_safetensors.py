"""Tensors go to bytes and back, with the safetensors library and without it."""

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from rm_geo.zoo.safetensors import (
    dump_tensors,
    parse_tensors,
    read_header,
    read_tensors,
    write_tensors,
)

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8]


@st.composite
def tables(draw):
    names = draw(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5, unique=True))
    table = {}
    for name in names:
        shape = draw(st.lists(st.integers(0, 4), max_size=3))
        table[name] = (100 * torch.rand(shape)).to(draw(st.sampled_from(DTYPES)))
    return table


def same(a, b):
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and torch.equal(a[k], b[k]) for k in a
    )


@given(tables(), st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3))
def test_the_library_reads_what_is_laid_out_here_and_the_other_way_round(tensors, metadata):
    assert same(safetensors.torch.load(write_tensors(tensors, metadata)), tensors)
    assert same(read_tensors(safetensors.torch.save(tensors, metadata)), tensors)
    assert same(read_tensors(write_tensors(tensors, metadata)), tensors)
    assert read_header(write_tensors(tensors, metadata))[0]["__metadata__"] == metadata


def test_damaged_data_is_a_value_error():
    whole = dump_tensors({"x": torch.ones(9)}, {"a": "b"})
    for damaged in (b"", whole[:4], whole[:20], whole[:-3], b"\xff" * 40):
        with pytest.raises(ValueError, match=r".+"):
            parse_tensors(damaged)
        with pytest.raises(ValueError, match=r".+"):
            read_tensors(damaged)
