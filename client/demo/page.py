"""The demo's report as one HTML page that needs nothing else: who saw what, the pictures, the receipt as a card.

Runs in: a party's machine.   Believes: the demo's own report.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from sealroom.client.demo import svg

Report = Mapping[str, Any]
_STYLE = """
:root{--ink:#16202c;--soft:#5b6876;--line:#dfe5ea;--paper:#f6f8f9;--card:#fff;--left:#2f6f8f;--right:#c77b30;
--good:#2c7a54;--warn:#8a5a00;--warnback:#fff6e0;--bad:#a4342c}
@media(prefers-color-scheme:dark){:root{--ink:#e8edf1;--soft:#9aa8b5;--line:#2c3742;--paper:#12181e;--card:#1a222a;
--left:#5fa6c7;--right:#dd9a55;--good:#6cc39a;--warn:#f0c365;--warnback:#33290f;--bad:#ec8b82}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:980px;margin:0 auto;padding:40px 20px 80px}h1{font-size:2rem;line-height:1.2;margin:0 0 8px}
h2{font-size:1.15rem;margin:0 0 12px}p{margin:0 0 12px}.lead{color:var(--soft);font-size:1.1rem;max-width:46em}
.card{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:22px 24px;margin:20px 0}
.warn{background:var(--warnback);border-color:var(--warn)}.warn h2{color:var(--warn)}
.grid{display:grid;gap:20px;
grid-template-columns:repeat(auto-fit,minmax(300px,1fr))}.grid .card{margin:0}
.big{font-size:2.3rem;font-weight:650;letter-spacing:-.02em}
.unit{color:var(--soft)}
svg{display:block;width:100%;max-width:640px;margin:0 auto;height:auto;font:14px system-ui,sans-serif}
svg text{fill:var(--soft)}
svg .strong{fill:var(--ink);font-weight:600}
svg .left{fill:var(--left);fill-opacity:.5}svg .right{fill:var(--right);fill-opacity:.5}svg .bar{fill:var(--left)}
svg .track{fill:var(--line)}svg .leader{stroke:var(--soft)}
svg .mark{stroke:var(--right);stroke-width:2;stroke-dasharray:4 4}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:9px 10px;border-top:1px solid var(--line);
vertical-align:top}thead th{border:0;color:var(--soft);font-weight:600}code{font:13px ui-monospace,monospace;
overflow-wrap:anywhere}dl{display:grid;grid-template-columns:minmax(8em,auto) 1fr;gap:6px 16px;margin:0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}.tag{display:inline-block;border:1px solid currentColor;
border-radius:99px;padding:1px 10px;font-size:.85rem;font-weight:600}.yes{color:var(--good)}.no{color:var(--bad)}
.receipt{border-left:6px solid var(--good)}.scroll{overflow-x:auto}
"""


def page(report: Report) -> str:
    """The whole page."""
    body = [
        _head(report),
        _platform(report),
        _special(report),
        _overlap(report),
        _segments(report),
        _audience(report),
        _who(report),
        _tamper(report),
        _receipt(report),
        _budgets(report),
    ]
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><title>{_t(report["title"])}</title>'
        f"<style>{_STYLE}</style></head><body><main>{''.join(body)}</main></body></html>"
    )


def _head(report: Report) -> str:
    return f"<h1>{_t(report['title'])}</h1><p class='lead'>{_t(report['summary'])}</p>"


def _platform(report: Report) -> str:
    platform = report["platform"]
    return _card(f"This platform is {_t(platform['class'])}", f"<p>{_t(platform['warning'])}</p>", kind="warn")


def _special(report: Report) -> str:
    lines = "".join(f"<li>{_t(line)}</li>" for line in report["special"])
    return _card(
        "What is special here", f"<p>With real data, none of this should be so:</p><ul>{lines}</ul>", kind="warn"
    )


def _overlap(report: Report) -> str:
    overlap, inputs = report.get("overlap"), report["inputs"]
    if not overlap or overlap["count"] is None:
        return ""
    left, right = inputs[0], inputs[1]
    low, high = overlap["interval_95"]
    labels = (
        f"{left['rows']:,} {left['party']} customers",
        f"about {overlap['count']:,} in both",
        f"{right['rows']:,} {right['party']} customers",
    )
    text = (
        f"<p><span class='big'>{overlap['count']:,}</span> <span class='unit'>shared customers, noise included; "
        f"95 % of the time the linked number is within {low:,} to {high:,} (epsilon {overlap['epsilon']})</span></p>"
    )
    return _card(
        "What the bank learned first: the overlap",
        text + svg.venn(left["rows"], right["rows"], overlap["count"], labels),
    )


def _segments(report: Report) -> str:
    cells = report.get("segments") or []
    rows = [
        (str(c["name"]), float(c["count"] or 0), f"{c['count']:,}" if c["count"] is not None else "withheld")
        for c in cells
    ]
    if not rows:
        return ""
    note = "<p class='unit'>The rules that cut these segments are the bank's secret; only their labels were agreed.</p>"
    return _card("Shared customers by the bank's hidden segments", note + svg.bars(rows, title="Segments"))


def _audience(report: Report) -> str:
    audience, metrics = report.get("audience"), report.get("metrics") or {}
    if not audience:
        return ""
    rows = [("everybody", 1.0, "1.0")]
    if "lift_thousandths" in metrics:
        rows.append(
            ("held-out customers", metrics["lift_thousandths"] / 1000, f"{metrics['lift_thousandths'] / 1000:.1f}")
        )
    if audience.get("lift") is not None:
        rows.append(("released audience", audience["lift"], f"{audience['lift']:.2f}"))
    auc = (
        f" The bank was told an AUC of {metrics['auc_thousandths'] / 1000:.2f}." if "auc_thousandths" in metrics else ""
    )
    text = (
        f"<p><span class='big'>{audience['size']:,}</span> <span class='unit'>ids of the partner's own customers, "
        f"sealed to the partner. The bank never sees one.{_t(auc)}</span></p>"
    )
    words = "Times as many buyers as among everybody. The last bar is measured against answers that no party has."
    note = f"<p class='unit'>{words}</p>"
    return _card(
        "What the partner received: a look-alike audience", text + svg.bars(rows, title="Lift", mark=1.0) + note
    )


def _who(report: Report) -> str:
    rows = "".join(
        f"<tr><th>{_t(w['party'])}</th><td>{_t(w['brought'])}</td><td class='yes'>{_t(w['saw'])}</td>"
        f"<td class='no'>{_t(w['never'])}</td></tr>"
        for w in report["who_saw_what"]
    )
    head = "<thead><tr><th>party</th><th>brought</th><th>saw</th><th>never saw</th></tr></thead>"
    return _card("Who saw what", f"<div class='scroll'><table>{head}<tbody>{rows}</tbody></table></div>")


def _tamper(report: Report) -> str:
    tamper = report.get("tamper")
    if not tamper:
        return ""
    text = (
        f"<p>One byte of <code>{_t(tamper['file'])}</code> was changed before another launch. The measurement changed "
        f"with it, and {_t(tamper['refused_by'])} gave no key: <code>{_t(tamper['reason'])}</code></p>"
        f"<p>The refusal is signed and in the agreement's log, whose {_t(tamper['history']['entries'])} entries were "
        "proven offline.</p>"
    )
    return _card("One changed byte", text)


def _receipt(report: Report) -> str:
    receipt = report["receipt"]
    facts = "".join(f"<dt>{_t(name)}</dt><dd>{_t(value)}</dd>" for name, value in receipt["facts"])
    verdict = (
        "<span class='tag yes'>verified offline</span>"
        if receipt["verified"]
        else "<span class='tag no'>not verified</span>"
    )
    rows = "".join(
        f"<tr><td>{_t(r['rule'])}</td><td>{_t(r['recipient'])}</td><td>{_t(r['guarantee'])}</td><td>{_t(r['cost'])}</td></tr>"
        for r in receipt["releases"]
    )
    head = "<thead><tr><th>release</th><th>to</th><th>guarantee</th><th>cost to each affected owner</th></tr></thead>"
    table = f"<div class='scroll'><table>{head}<tbody>{rows}</tbody></table></div>"
    return _card("The receipt", f"<p>{verdict}</p><dl>{facts}</dl>{table}", kind="receipt")


def _budgets(report: Report) -> str:
    cards = []
    for purse in report.get("budgets", []):
        words = f"{purse['spent']:g} of {purse['total']:g} {purse['unit']} spent"
        cards.append(
            _card(
                f"{purse['owner']}: {purse['population']}",
                f"<p>{_t(words)}</p>{svg.gauge(purse['spent'], purse['total'], words)}",
            )
        )
    return f"<div class='grid'>{''.join(cards)}</div>"


def _card(title: str, content: str, kind: str = "") -> str:
    return f"<section class='card {kind}'><h2>{_t(title)}</h2>{content}</section>"


def _t(text: object) -> str:
    return html.escape(str(text))
