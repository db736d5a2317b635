"""Trained models: found by name or path, verified, never unpickled."""

import json
import pickle
import shutil

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rm_geo.errors import ModelError, OutputError
from rm_geo.zoo import catalog, weights


def build_tiny(kind, config):
    if kind not in {"tiny", "other"}:
        raise KeyError(kind)
    torch.manual_seed(1)
    return torch.nn.Conv2d(1, config["width"], 3)


@pytest.fixture(autouse=True)
def tiny_networks(monkeypatch):
    monkeypatch.setattr("rm_geo.networks.build", build_tiny, raising=False)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "models"
    config = {"width": 2}
    more = {"architecture": "one convolution", "size": "s", "scale": 4, "summary": "A test."}
    weights.save_model(root / "tiny-s", build_tiny("tiny", config), "tiny", config, more)
    weights.save_model(root / "other-s", build_tiny("other", config), "other", config)
    weights.write_index(root, {"tiny": "tiny-s"})
    return root


def test_what_is_saved_is_what_is_loaded(root):
    record = catalog.find_model("tiny-s", root=root)
    network, loaded = weights.load_network(record)
    expected = build_tiny("tiny", {"width": 2})
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[key], rtol=0, atol=0)
    assert not network.training
    assert loaded.sha256 == record.sha256


def test_the_index_tells_what_the_cards_say(root):
    records = catalog.list_models(root)
    assert [record.name for record in records] == ["other-s", "tiny-s"]
    assert (records[1].kind, records[1].size, records[1].scale) == ("tiny", "s", 4)
    assert catalog.default_model("tiny", root).name == "tiny-s"


def test_saving_twice_gives_the_same_bytes(root, tmp_path):
    network, _ = weights.load_network(catalog.find_model("tiny-s", root=root))
    first = weights.save_model(tmp_path / "a.safetensors", network, "tiny", {"width": 2})
    second = weights.save_model(tmp_path / "b.safetensors", network, "tiny", {"width": 2})
    assert first == second


def test_half_precision_is_widened(tmp_path):
    network = build_tiny("tiny", {"width": 2}).half()
    weights.save_model(tmp_path / "half.safetensors", network, "tiny", {"width": 2})
    loaded, _ = weights.load_network(catalog.find_model(tmp_path / "half.safetensors"))
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


def test_a_model_is_found_by_file_and_by_folder(root):
    for path in (root / "tiny-s", root / "tiny-s" / "model.safetensors"):
        record = catalog.find_model(path, kind="tiny", root=root)
        assert (record.name, record.kind) == ("tiny-s", "tiny")
        assert record.sha256 == catalog.find_model("tiny-s", root=root).sha256


def test_another_kind_is_refused_by_name_and_by_file(root):
    for name in ("other-s", root / "other-s"):
        with pytest.raises(ModelError, match="'other' network, but 'tiny'"):
            catalog.find_model(name, kind="tiny", root=root)


def test_an_unknown_name_suggests_the_nearest(root):
    with pytest.raises(ModelError) as raised:
        catalog.find_model("tiny-x", root=root)
    assert "tiny-s" in raised.value.hint


@pytest.fixture
def packaged(root):
    """An index one of whose models is in another distribution, and the folder of its files."""
    folder = root.parent / "packages" / "no-such-models" / "no_such_models"
    folder.mkdir(parents=True)
    (root / "other-s").rename(folder / "other-s")
    index = json.loads((root / "index.json").read_text())
    (entry,) = (model for model in index["models"] if model["name"] == "other-s")
    entry["package"] = "no-such-models"
    index["default"]["other"] = "other-s"
    (root / "index.json").write_text(json.dumps(index))
    return folder


def test_a_model_of_another_distribution_is_found_and_its_checksum_is_verified(root, packaged):
    record = catalog.default_model("other", root)
    assert record.path.parent.parent == packaged
    catalog.verify_model(record)
    record.path.write_bytes(record.path.read_bytes()[:-1])
    with pytest.raises(ModelError):
        catalog.verify_model(record)


def test_an_absent_distribution_is_named(root, packaged):
    shutil.rmtree(packaged)
    assert [record.name for record in catalog.list_models(root)] == ["tiny-s"]
    assert [record.name for record in catalog.list_models(root, installed=False)] == ["other-s"]
    for find in (
        lambda: catalog.find_model("other-s", root=root),
        lambda: catalog.default_model("other", root),
    ):
        with pytest.raises(ModelError, match="no-such-models, which is not installed") as raised:
            find()
        assert "pip install no-such-models" in raised.value.hint


def test_writing_an_index_keeps_the_models_of_other_distributions(root, packaged):
    before = json.loads((root / "index.json").read_text())
    weights.write_index(root)
    assert json.loads((root / "index.json").read_text()) == before
    shutil.rmtree(packaged)
    weights.write_index(root)
    assert json.loads((root / "index.json").read_text()) == before


def test_a_method_without_a_default_model_says_what_to_do(root, tmp_path):
    for folder in (root, tmp_path / "nowhere"):
        with pytest.raises(ModelError) as raised:
            catalog.default_model("mars-4", folder)
        assert "`model`" in raised.value.hint


@given(place=st.floats(0, 1), flip=st.integers(1, 255))
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_flipped_byte_of_a_listed_model_is_noticed(root, place, flip):
    record = catalog.find_model("tiny-s", root=root)
    whole = record.path.read_bytes()
    damaged = bytearray(whole)
    damaged[int(place * (len(whole) - 1))] ^= flip
    try:
        record.path.write_bytes(bytes(damaged))
        with pytest.raises(ModelError, match="damaged"):
            weights.load_network(record)
        with pytest.raises(ModelError, match="damaged"):
            catalog.verify_model(record)
    finally:
        record.path.write_bytes(whole)


@pytest.mark.parametrize("length", [0, 5, 8, 40, -1])
def test_a_truncated_file_of_a_user_is_damaged(root, tmp_path, length):
    data = (root / "tiny-s" / "model.safetensors").read_bytes()
    path = tmp_path / "mine.safetensors"
    path.write_bytes(data[:length])
    with pytest.raises(ModelError, match=r"mine\.safetensors is damaged"):
        weights.load_network(catalog.find_model(path))


def test_the_card_of_a_users_model_counts(root, tmp_path):
    card_path = root / "tiny-s" / "card.json"
    card = json.loads(card_path.read_text())
    card_path.write_text(json.dumps(card | {"sha256": "0" * 64}))
    with pytest.raises(ModelError, match="checksum"):
        weights.load_network(catalog.find_model(root / "tiny-s", root=tmp_path))


def test_pickles_are_refused_without_being_opened(tmp_path):
    for suffix in (".pt", ".pth", ".ckpt", ".pkl", ".bin"):
        with pytest.raises(ModelError, match="was not opened"):
            catalog.find_model(tmp_path / f"weights{suffix}")


def test_a_pickle_under_another_name_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was loaded",))

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError, match="not a safetensors file"):
        catalog.find_model(path)


def test_safetensors_of_others_are_refused(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "foreign.safetensors"
    save_file({"w": torch.zeros(2)}, path)
    with pytest.raises(ModelError, match="does not state its network"):
        catalog.find_model(path)


def test_weights_that_do_not_fit_their_network_are_refused(tmp_path):
    path = tmp_path / "wide.safetensors"
    weights.save_model(path, build_tiny("tiny", {"width": 3}), "tiny", {"width": 2})
    with pytest.raises(ModelError, match="do not fit"):
        weights.load_network(catalog.find_model(path))


def test_weights_that_are_not_finite_are_refused(tmp_path):
    network = build_tiny("tiny", {"width": 2})
    with torch.no_grad():
        network.weight[0, 0, 0, 0] = torch.nan
    weights.save_model(tmp_path / "nan.safetensors", network, "tiny", {"width": 2})
    with pytest.raises(ModelError, match="not finite"):
        weights.load_network(catalog.find_model(tmp_path / "nan.safetensors"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"gone\.safetensors"):
        catalog.find_model(tmp_path / "gone.safetensors")


def test_an_unreadable_index_is_an_error(tmp_path):
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(ModelError, match=r"index\.json"):
        catalog.list_models(tmp_path)


def test_a_model_that_cannot_be_written_leaves_the_old_one(root):
    path = root / "tiny-s" / "model.safetensors"
    before = path.read_bytes()
    with pytest.raises(OutputError):
        weights.save_model(path / "below.safetensors", build_tiny("tiny", {"width": 2}), "tiny", {})
    assert path.read_bytes() == before


def test_another_folder_of_models_can_be_chosen(root, monkeypatch):
    monkeypatch.setenv("RM_GEO_MODELS", str(root))
    assert catalog.models_root() == root
    assert catalog.find_model("tiny-s").kind == "tiny"


def test_buffers_that_are_not_saved_are_computed(tmp_path, monkeypatch):
    class Smoother(torch.nn.Module):
        def __init__(self, width):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(width))
            self.register_buffer("kernel", torch.full((width,), 0.5), persistent=False)

    monkeypatch.setattr("rm_geo.networks.build", lambda kind, config: Smoother(**config))
    path = tmp_path / "smoother.safetensors"
    weights.save_model(path, Smoother(3), "tiny", {"width": 3})
    network, _ = weights.load_network(catalog.find_model(path))
    assert network.kernel.tolist() == [0.5, 0.5, 0.5]
