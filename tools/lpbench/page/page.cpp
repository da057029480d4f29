// The page as a whole: its head, a card for each run, and what the numbers mean.
#include "page/page.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "page/html.hpp"
#include "page/plots.hpp"
#include "units.hpp"

namespace lpbench {

namespace {

bool same_machine(const std::vector<RunRecord>& runs) {
  const RunRecord& first = runs.front();
  return std::ranges::all_of(runs, [&](const RunRecord& run) {
    return run.cores == first.cores && run.processor == first.processor && run.kernel == first.kernel;
  });
}

std::string machine_of(const RunRecord& run) {
  std::string text = counted(run.cores, "core");
  for (const std::string& part : {run.processor, run.kernel}) {
    if (!part.empty()) text += ", " + part;
  }
  return text;
}

std::string head(const std::vector<RunRecord>& runs, const std::string& title) {
  std::string html = fmt::format("<header><h1>{}</h1>\n", escaped(title));
  const std::string common = common_settings(runs);
  if (!common.empty()) html += fmt::format("<p class=\"common\">{}</p>\n", escaped(common));
  html += fmt::format("<p class=\"machine\">{}; {}</p></header>\n",
                      same_machine(runs) ? escaped(machine_of(runs.front())) : "from different machines: see Settings",
                      escaped(runs.front().started));
  return html;
}

std::string fact(std::string_view name, const std::string& value, bool alarming = false) {
  return fmt::format("<div{}><dt>{}</dt><dd>{}</dd></div>", alarming ? " class=\"bad\"" : "", name, value);
}

// `differs`: the settings in which it differs from the others.
std::string card(const RunRecord& run, const std::string& name, const std::string& differs, std::size_t index) {
  std::string html = fmt::format("<article class=\"{}\"><h2><i class=\"stroke\"></i><span>{}</span></h2>",
                                 run_class(index), escaped(name));
  if (!name.contains(differs)) html += fmt::format("<p class=\"differs\">{}</p>", escaped(differs));
  html += fmt::format("<p class=\"rate\"><b>{}</b> {}s/s</p><dl>", grouped(run.per_second), run.thing());
  html += fact("p50", page_time(run.latency.p50));
  html += fact("p99", page_time(run.latency.p99));
  html += fact("max", page_time(run.latency.max));
  html += fact("CPU/" + run.thing(), page_time(run.cpu.total()));
  html += fact("failed", grouped(run.failure_count()), run.failure_count() > 0);
  return html + "</dl></article>\n";
}

constexpr std::string_view kNotes = R"(<footer>
<p>Latency counts those that succeeded: a call from its submission to its callback, an item from its arrival to its
result, the wait for its batch included. Percentiles are at most 0.8 % above the true ones.</p>
<p>CPU is shared out over all that ended, failed ones included. Here: the process with the loop, and the threads of the
thread backend; workers: the worker processes and their fork server. The sums are exact, their parts user and system are
the kernel's estimate.</p>
</footer>
)";

}  // namespace

std::string thing(const std::vector<RunRecord>& runs) {
  const auto calls = std::ranges::count(runs, "call", &RunRecord::thing);
  if (calls == 0) return "item";
  return calls == std::ssize(runs) ? "call" : "call or item";
}

std::string things(const std::vector<RunRecord>& runs) {
  const std::string one = thing(runs);
  return one == "call or item" ? "calls or items" : one + 's';
}

std::string page_of(const std::vector<RunRecord>& runs) {
  const Names names = names_of(runs);
  const std::string title = runs.size() == 1 ? fmt::format("lpbench {}: {}", runs.front().command, names.front())
                                             : fmt::format("lpbench: {} runs side by side", runs.size());
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n"
      "<title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n",
      escaped(title), style_sheet());
  html += head(runs, title) + "<section class=\"cards\">\n";
  for (std::size_t index = 0; index < runs.size(); ++index) {
    html += card(runs[index], names[index], own_settings(runs, runs[index]), index);
  }
  html += "</section>\n" + figures(runs, names) + tables(runs, names);
  html += kNotes;
  return html + "</main>\n</body>\n</html>\n";
}

}  // namespace lpbench
