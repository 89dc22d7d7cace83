from pathlib import Path

from services.standalone.metricspage import page

PAGE = Path(__file__).resolve().parents[4] / "docs" / "metrics.md"


def test_the_page_of_metrics_is_what_the_process_shows() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_every_part_is_seen() -> None:
    sections = page().split("\n## ")[1:]
    assert len(sections) > 9
    assert all("\n| `" in section for section in sections)


def test_every_metric_is_explained_with_a_sentence() -> None:
    meanings = [line.split(" | ")[-1].rstrip(" |") for line in page().splitlines() if line.startswith("| `")]
    assert len(meanings) > 50
    assert [text for text in meanings if not text] == []
