// The tables of a page: the figures as numbers, the settings, and what failed.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "page/html.hpp"
#include "page/page.hpp"
#include "page/plots.hpp"
#include "units.hpp"

namespace lpbench {

namespace {

using Row = std::vector<std::string>;

// The first column is the runs' names.
std::string html_table(std::string_view title, std::string_view kind, const Row& header, const std::vector<Row>& rows) {
  std::string html =
      fmt::format("<section class=\"table\"><h2>{}</h2><div><table class=\"{}\"><thead><tr>", title, kind);
  for (const std::string& cell : header) html += fmt::format(R"(<th scope="col">{}</th>)", escaped(cell));
  html += "</tr></thead><tbody>\n";
  for (const Row& row : rows) {
    html += fmt::format(R"(<tr><th scope="row">{}</th>)", row.front());
    for (std::size_t column = 1; column < row.size(); ++column)
      html += fmt::format("<td>{}</td>", escaped(row[column]));
    html += "</tr>\n";
  }
  return html + "</tbody></table></div></section>\n";
}

std::string name_cell(const Names& names, std::size_t index) {
  return fmt::format(R"(<span class="{}"><i class="stroke"></i>{}</span>)", run_class(index), escaped(names[index]));
}

Row numbers_of(const RunRecord& run, std::string name) {
  const Latency& latency = run.latency;
  return {std::move(name),        grouped(run.succeeded),   grouped(run.failure_count()), grouped(run.per_second),
          page_time(latency.min), page_time(latency.mean),  page_time(latency.p50),       page_time(latency.p90),
          page_time(latency.p99), page_time(latency.p99_9), page_time(latency.p99_99),    page_time(latency.max)};
}

Row cpu_of(const RunRecord& run, std::string name) {
  const CpuCost& cpu = run.cpu;
  return {std::move(name),
          page_time(cpu.total()),
          page_time(cpu.here.total()),
          page_time(cpu.here.user),
          page_time(cpu.here.system),
          page_time(cpu.workers.total()),
          page_time(cpu.workers.user),
          page_time(cpu.workers.system)};
}

std::string settings_of(const RunRecord& run) {
  std::vector<std::string> phrases;
  for (const Setting& setting : run.settings) phrases.push_back(setting.phrase());
  return fmt::format("{}", fmt::join(phrases, ", "));
}

}  // namespace

std::string tables(const std::vector<RunRecord>& runs, const Names& names) {
  std::vector<Row> numbers;
  std::vector<Row> cpu;
  std::vector<Row> settings;
  std::vector<Row> failures;
  for (std::size_t index = 0; index < runs.size(); ++index) {
    const RunRecord& run = runs[index];
    numbers.push_back(numbers_of(run, name_cell(names, index)));
    cpu.push_back(cpu_of(run, name_cell(names, index)));
    settings.push_back({name_cell(names, index), run.command, settings_of(run), fmt::format("{:.2f} s", run.elapsed),
                        run.started, counted(run.cores, "core") + (run.processor.empty() ? "" : ", " + run.processor),
                        run.kernel, run.version});
    for (const Failures& failure : run.failures) {
      failures.push_back({name_cell(names, index), grouped(failure.count), failure.kind, failure.first_message});
    }
  }
  std::string html;
  if (!failures.empty()) {
    html += html_table("Failures", "text failures", {"run", "failed", "kind", "the first of them"}, failures);
  }
  html += html_table(
      "Throughput and latency", "numbers",
      {"run", things(runs), "failed", "per second", "min", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"},
      numbers);
  html += html_table("CPU time per " + thing(runs), "numbers",
                     {"run", "all", "this process", "user", "system", "workers", "user", "system"}, cpu);
  html += html_table("Settings", "text settings",
                     {"run", "command", "settings", "measured", "begun", "machine", "kernel", "lpbench"}, settings);
  return html;
}

}  // namespace lpbench
