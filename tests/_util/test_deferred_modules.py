"""Modules that a library only looks for are imported when they are used."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap

import pytest

from rm_geo._util.deferred_modules import deferred_function, deferred_modules


@pytest.fixture
def heavy(tmp_path, monkeypatch):
    """Modules on the path: a heavy package, and a library that looks whether it is there."""
    (tmp_path / "heavy_package").mkdir()
    (tmp_path / "heavy_package" / "__init__.py").write_text("answer = 42\n")
    (tmp_path / "heavy_package" / "part.py").write_text("name = 'part'\n")
    library = """
        try:
            import heavy_package
        except ImportError:
            heavy_package = None
        is_there = heavy_package is not None
    """
    (tmp_path / "light_library.py").write_text(textwrap.dedent(library))
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("heavy_package", "heavy_package.part", "light_library"):
        sys.modules.pop(name, None)


def test_the_library_finds_a_module_that_is_not_imported(heavy):
    with deferred_modules("heavy_package"):
        import light_library
    assert light_library.is_there
    assert "heavy_package" not in sys.modules


def test_what_the_library_kept_imports_the_module_at_its_first_use(heavy):
    with deferred_modules("heavy_package"):
        import light_library
    assert light_library.heavy_package.answer == 42
    assert sys.modules["heavy_package"].answer == 42


def test_a_part_is_imported_without_its_package_and_belongs_to_it_later(heavy):
    with deferred_modules("heavy_package"):
        part = importlib.import_module("heavy_package.part")
    assert part.name == "part"
    assert "answer" not in vars(sys.modules["heavy_package"])
    from heavy_package import answer

    assert answer == 42
    assert sys.modules["heavy_package"].part is part
    assert vars(sys.modules["heavy_package"])["answer"] == 42


def test_a_loaded_module_and_a_missing_one_are_left_alone(heavy):
    import heavy_package

    with deferred_modules("heavy_package", "package_that_is_missing"):
        assert sys.modules["heavy_package"] is heavy_package
        with pytest.raises(ImportError):
            import package_that_is_missing  # noqa: F401
    assert sys.modules["heavy_package"] is heavy_package


def test_given_attributes_need_no_import(heavy):
    with deferred_modules("heavy_package", answer=1):
        import heavy_package

        assert heavy_package.answer == 1
    assert "heavy_package" not in sys.modules


def test_a_package_and_its_part_can_both_wait(heavy):
    with deferred_modules("heavy_package", "heavy_package.part", "missing_package.part"):
        import heavy_package.part as kept
    assert not {"heavy_package", "heavy_package.part"} & set(sys.modules)
    assert kept.name == "part"
    assert sys.modules["heavy_package"].answer == 42


def test_a_part_can_wait_where_its_package_imports_it_with_names(heavy, tmp_path):
    (tmp_path / "heavy_package" / "__init__.py").write_text("from heavy_package.part import name\n")
    with deferred_modules("heavy_package.part", name="given"):
        import heavy_package
    assert heavy_package.name == "given"
    assert "heavy_package.part" not in sys.modules
    assert importlib.import_module("heavy_package.part").name == "part"


def test_a_lazy_attribute_of_a_loaded_package_finds_the_part_that_waits(heavy, tmp_path):
    lazy = """
        def __getattr__(name):
            import heavy_package.part as part
            return part
    """
    (tmp_path / "heavy_package" / "__init__.py").write_text(textwrap.dedent(lazy))
    import heavy_package

    with deferred_modules("heavy_package.part"):
        part = heavy_package.part
    assert "heavy_package.part" not in sys.modules
    assert part.name == "part"


def test_a_function_that_waits_imports_its_module_when_it_is_called(heavy, tmp_path):
    (tmp_path / "heavy_package" / "part.py").write_text("def twice(value): return 2 * value\n")
    twice = deferred_function("heavy_package.part", "twice")
    assert "heavy_package" not in sys.modules
    assert twice(21) == 42


def test_a_run_imports_no_more_than_it_uses_and_leaves_libraries_whole():
    code = """
        import sys
        import rm_geo.pipeline.predict
        import rm_geo._util.tree_regressor
        unused = {"numpy.f2py", "numpy.testing", "scipy.spatial.transform"}
        unused |= {"scipy.optimize._minimize", "scipy.stats", "joblib", "sklearn.callback"}
        unused |= {"rich", "pandas", "dask"}
        assert not unused & set(sys.modules), unused & set(sys.modules)
        import numpy as np, scipy.optimize, scipy.spatial.transform
        from scipy.sparse.csgraph import laplacian
        from sklearn.ensemble import RandomForestRegressor
        values = np.arange(20.0)
        RandomForestRegressor(3, n_jobs=2).fit(values[:, None], values)
        assert scipy.optimize.nnls(np.eye(2), np.ones(2))[0].tolist() == [1.0, 1.0]
        assert scipy.spatial.transform.Rotation.identity().magnitude() == 0.0
        np.testing.assert_array_equal(laplacian(np.eye(2)), np.zeros((2, 2)))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
