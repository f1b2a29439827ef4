"""What a report holds, and what makes a page one that everybody can read."""

from html.parser import HTMLParser

from CMRLib.batch.reporting import write_cohort_report
from CMRLib.batch.results import new_results, write_results

VOID = {"meta", "img", "br", "link", "input", "hr", "wbr"}
REMOTE = ("http:", "https:", "//", "ftp:")
# Text whose contrast with what is behind it is below that of WCAG 2.1, level AA.
FAINT = """
(() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => {
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = channels(color).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if (channels(color)[3] !== 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *:not(svg *)")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
    const [a, b] = [luminance(getComputedStyle(element).color), luminance(behind(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) faint.push(element.textContent.trim().slice(0, 40));
  }
  return faint;
})()
"""


class Page(HTMLParser):
    """What a page holds, and whether all that it opens is closed."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def values(self, name, tag=None):
        return [value for one, key, value in self.attributes if key == name and tag in (None, one)]


def check_self_contained(page):
    assert not {"link", "iframe", "object", "embed", "base"} & set(page.tags)
    addresses = page.values("src") + page.values("href") + page.values("action") + page.values("xlink:href")
    assert addresses and not [address for address in addresses if address.startswith(REMOTE)]
    assert all(address.startswith("data:image/png;base64,") for address in page.values("href", "image"))
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name == "style"]
    (policy,) = [v for v in page.values("content", "meta") if "default-src" in v]
    assert policy.startswith("default-src 'none'; img-src data:;") and "unsafe" not in policy


def check_accessible(page):
    headings = [int(tag[1]) for tag in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(deeper - above <= 1 for above, deeper in zip(headings, headings[1:], strict=False))
    assert page.tags.count("table") == page.tags.count("caption") > 0
    scopes = page.values("scope", "th")
    assert set(scopes) <= {"col", "row", "colgroup"} and page.tags.count("th") == len(scopes)
    assert page.tags.count("main") == 1 and page.values("lang", "html") == ["en"]
    ids = page.values("id")
    assert sorted(ids) == sorted(set(ids))
    targets = {address[1:] for address in page.values("href", "a") if address.startswith("#")}
    assert targets <= set(ids) and set(page.values("aria-labelledby")) <= set(ids)


def write_cohort(output):
    """The report of a cohort, P1 to P12, of which P7 moves far and P9 failed."""
    for number in range(1, 13):
        motion = 9.5 if number == 7 else 1.0 + (number * 5 % 12) / 10
        made = new_results(f"P{number}")
        entry = {"state": "rest", "slice": "mid", "scheme": "shmolli", "motion_correction": "corrected"}
        values = {"motion_px": motion, "r2_before": 0.9, "r2_after": 0.98}
        if number == 9:
            made |= {"errors": ["mid.nrrd cannot be read <b>as an image</b>; export it again."]}
        else:
            made |= {"status": "ok", "t1": [{**entry, **values}, {**entry, **values, "motion_px": 0.5}]}
            made["made_from"] = {"steps": {"t1": {"choices": {"motion_correction": number != 3}}}}
        folder = output / f"P{number}"
        folder.mkdir()
        write_results(folder, made)
        if number != 9:
            (folder / "report.html").write_text("", encoding="utf-8")
    return write_cohort_report(output)
