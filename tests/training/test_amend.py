"""Tables and pictures that are added to the card of a published model."""

import pytest
from click.testing import CliRunner

from rm_geo.errors import InputError
from rm_geo.training.amend import amend_card, main

CARD = """# model

## Scores

### Validation at the end of training

| score | value |
|---|---|

## Limits

- None.

## Training

![curves](curves.png)
"""


def test_a_table_and_a_picture_are_added_and_replaced(tmp_path):
    (tmp_path / "card.md").write_text(CARD)
    picture, table = tmp_path / "made.png", tmp_path / "table.md"
    for version in ("first", "second"):
        picture.write_bytes(version.encode())
        table.write_text(f"| {version} |\n|---|\n")
        arguments = [str(tmp_path), "--scores", "Unseen maps", str(table)]
        result = CliRunner().invoke(main, [*arguments, "--picture", "A bad map", str(picture)])
        assert result.exit_code == 0, result.output
        text = (tmp_path / "card.md").read_text()
        assert f"### Unseen maps\n\n| {version} |\n|---|\n\n## Limits\n\n- None.\n" in text
        assert text.endswith("## A bad map\n\n![A bad map](picture-1.png)\n")
        assert text.count("Unseen maps") == 1
        assert (tmp_path / "picture-1.png").read_bytes() == version.encode()
    assert "second" in text
    assert "first" not in text
    amend_card(tmp_path, {}, {"Another": picture})
    assert (tmp_path / "picture-2.png").exists()


def test_a_folder_without_a_card_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        amend_card(tmp_path, {}, {})
