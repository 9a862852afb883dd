"""docs/ingest.md says what the code does."""

import re
from pathlib import Path

from neurotwin.ingest.accounting import Reason
from neurotwin.ingest.csv import ingest_csv
from neurotwin.ingest.mapping_file import parse_mapping
from neurotwin.ingest.yaml_file import parse_yaml

PAGE = (Path(__file__).parents[2] / "docs/ingest.md").read_text()
EXAMPLE = parse_yaml(re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL).group(1))


def test_every_reason_is_explained_once():
    explained = re.findall(r"^\| `(\w+)` \| ", PAGE.split("## What is rejected")[1], re.MULTILINE)
    assert explained == [str(reason) for reason in Reason]


def test_the_example_works(tmp_path):
    source, key = tmp_path / "source", tmp_path / "key"
    source.mkdir()
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    (source / "labs1.csv").write_text(
        "patient,taken,test,result,unit,method\n1,2024-01-01 10:00,GLU,5,mmol/l,\n"
        "1,2024-01-01 12:00,K,4,mmol/L,\n1,2024-01-01 13:00,K,4,mmol/L,LOCF\n"
    )
    (source / "given.csv").write_text(
        "patient,given,drug,dose,unit\n1,2024-01-01 11:00,INSULIN,6,[IU]\n1,2024-01-01 11:00,ASS,1,mg\n"
    )
    (source / "people.csv").write_text("patient,age,sex,name\n1,61,F,canary\n")
    report = ingest_csv(source, parse_mapping(EXAMPLE), tmp_path / "cohort", key_file=key, progress=False)
    assert report.balanced and report.items.totals["measurements"].accepted == 2
    assert report.items.totals["treatments"].accepted == 1 and report.items.totals["statics"].accepted == 2


def test_the_reader_of_the_page_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(re.search(r"```python\n([^`]*?DiaryReader.*?)```", PAGE, re.DOTALL).group(1), {})
    assert capsys.readouterr().out == "1 {'value_not_a_number': 1}\n"
