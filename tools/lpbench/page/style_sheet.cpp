// How a page looks, by light and by dark.
#include "page/page.hpp"

namespace lpbench {

std::string style_sheet() {
  return R"(:root { color-scheme: light dark; --back: #f4f5f8; --sheet: #fff; --ink: #1b2230; --soft: #5b667a;
  --rule: #e3e7ee; --base: #9aa4b5; --bad: #c0262d;
  --c0: #2463c7; --c1: #d7620a; --c2: #0d8f72; --c3: #b5307c; --c4: #a97c00; --c5: #0b88a8; --c6: #7648c8; --c7: #64708a; }
@media (prefers-color-scheme: dark) {
  :root { --back: #11141a; --sheet: #191e27; --ink: #e7eaf0; --soft: #9ba6b8; --rule: #2b3340; --base: #566073;
    --bad: #ff7a7a;
    --c0: #6ea6ff; --c1: #ff9b57; --c2: #3ccfa6; --c3: #f37bbb; --c4: #e2ba3f; --c5: #4cc6e6; --c6: #b399ff; --c7: #a7b2c6; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums; }
main { max-width: 1136px; margin: 0 auto; padding: 36px 24px 48px; }
h1 { margin: 0; font-size: 26px; line-height: 1.25; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { margin: 0; font-size: 16px; line-height: 1.35; }
h1, h2, th, li, .name { unicode-bidi: isolate; }
header p { margin: 6px 0 0; color: var(--soft); overflow-wrap: anywhere; }
header .common { color: var(--ink); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 16px; margin: 24px 0 16px; }
article, figure, section.table { background: var(--sheet); border: 1px solid var(--rule); border-radius: 10px; }
article { padding: 16px 20px; }
article h2 { display: flex; align-items: baseline; font-weight: 600; overflow-wrap: anywhere; }
.differs { margin: 2px 0 0; color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
.rate { margin: 6px 0 8px; color: var(--soft); }
.rate b { font-size: 30px; font-weight: 650; letter-spacing: -0.02em; color: var(--ink); }
dl { display: grid; grid-template-columns: repeat(3, max-content); gap: 6px 28px; margin: 0; }
dt { color: var(--soft); font-size: 12.5px; }
dd { margin: 0; font-weight: 550; white-space: nowrap; }
.bad dd { color: var(--bad); font-weight: 700; }
.figures { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; }
figure { margin: 0; padding: 18px 20px 14px; min-width: 0; }
.wide { grid-column: 1 / -1; }
figcaption p { margin: 2px 0 12px; color: var(--soft); font-size: 13.5px; }
figure div { overflow-x: auto; }
.wide svg { min-width: 800px; }
svg { display: block; width: 100%; height: auto; }
text { font-size: 12.5px; fill: var(--ink); }
.tick, .axis { fill: var(--soft); }
.axis { font-size: 13px; }
.middle { text-anchor: middle; }
.end { text-anchor: end; }
.value { font-weight: 600; }
.grid { stroke: var(--rule); stroke-width: 1; }
.base { stroke: var(--base); stroke-width: 1; }
.line { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.dot { fill: var(--c); stroke: var(--sheet); stroke-width: 1; }
.hit { fill: transparent; }
.hit:hover { fill: var(--c); }
.bar { fill: var(--c); stroke: var(--sheet); stroke-width: 1; }
.bar:hover { stroke: var(--ink); }
.tint1 { opacity: 0.66; } .tint2 { opacity: 0.4; } .tint3 { opacity: 0.2; }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); }
.c4 { --c: var(--c4); } .c5 { --c: var(--c5); } .c6 { --c: var(--c6); } .c7 { --c: var(--c7); }
.d1 .line { stroke-dasharray: 8 5; } .d2 .line { stroke-dasharray: 1.5 5; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 20px; margin: 0 0 10px; padding: 0; list-style: none; font-size: 13.5px; }
.legend li { display: flex; align-items: center; overflow-wrap: anywhere; }
svg + .legend { gap: 2px 14px; margin: 8px 0 0; color: var(--soft); font-size: 12.5px; }
.stroke { flex: none; display: inline-block; width: 20px; margin-right: 8px; border-top: 3px solid var(--c);
  vertical-align: middle; position: relative; top: -1px; }
article .stroke { top: -5px; }
.d1 .stroke { border-top-style: dashed; } .d2 .stroke { border-top-style: dotted; }
.patch { flex: none; display: inline-block; width: 13px; height: 13px; margin-right: 7px; background: var(--soft); }
section.table { margin-top: 16px; padding: 18px 20px 12px; }
.table div { overflow-x: auto; margin-top: 8px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { padding: 6px 0 6px 14px; border-top: 1px solid var(--rule); text-align: right; vertical-align: top;
  font-weight: 400; }
thead th { border-top: 0; color: var(--soft); white-space: nowrap; }
th:first-child { padding-left: 0; text-align: left; }
tbody th { min-width: 150px; max-width: 320px; overflow-wrap: anywhere; }
.numbers td { white-space: nowrap; }
.text th, .text td { text-align: left; overflow-wrap: anywhere; }
.text td { min-width: 80px; }
.settings td:nth-child(3) { min-width: 220px; }
.failures td:nth-child(2) { color: var(--bad); font-weight: 700; }
footer { margin-top: 20px; color: var(--soft); font-size: 13px; }
footer p { margin: 0 0 6px; max-width: 90ch; }
@media (max-width: 800px) { .figures { grid-template-columns: 1fr; } main { padding: 20px 12px; } }
@media print { body { background: none; } article, figure, section.table { break-inside: avoid; } }
)";
}

}  // namespace lpbench
