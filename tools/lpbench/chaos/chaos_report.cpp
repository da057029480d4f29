// How a chaos run is shown.
#include <fmt/format.h>

#include "../../common/standard_streams.hpp"
#include "../json.hpp"
#include "../table.hpp"
#include "../units.hpp"
#include "chaos.hpp"

namespace lpbench::chaos {

namespace {

struct Row {
  const char* name;
  std::size_t Resources::* of;
  bool bytes;
};
constexpr Row kRows[] = {{.name = "threads", .of = &Resources::threads, .bytes = false},
                         {.name = "processes", .of = &Resources::processes, .bytes = false},
                         {.name = "descriptors", .of = &Resources::descriptors, .bytes = false},
                         {.name = "mappings", .of = &Resources::mappings, .bytes = false},
                         {.name = "resident", .of = &Resources::resident, .bytes = true},
                         {.name = "allocated", .of = &Resources::allocated, .bytes = true}};

std::string deeds_table(const ChaosReport& report) {
  Table table({"what was done", "times"});
  for (const auto& [name, times] : report.deeds) table.add({name, grouped(times)});
  table.add({"leases revoked at their hard expiry", grouped(report.leases_revoked)});
  table.add({"log lines written", grouped(report.log_lines)});
  table.add({"log lines that the full disk refused", grouped(report.log_lines_refused)});
  return table.text();
}

std::string calls_table(const ChaosReport& report) {
  std::vector<std::string> header = {"calls"};
  for (std::size_t place = 0; place < kPlaces; ++place) header.emplace_back(name_of(static_cast<Place>(place)));
  Table table(header);
  const auto add = [&table](const auto& counted) {
    std::vector<std::string> row = {counted.first};
    for (const std::uint64_t count : counted.second) row.push_back(grouped(count));
    table.add(std::move(row));
  };
  const auto begun = report.counts.find("begun");
  if (begun != report.counts.end()) add(*begun);
  for (auto next = report.counts.begin(); next != report.counts.end(); ++next) {
    if (next != begun) add(*next);
  }
  return table.text();
}

std::string resources_table(const ChaosReport& report) {
  Table table({"at rest", "before", "after"});
  for (const Row& row : kRows) {
    const auto text = [&](const Resources& of) { return row.bytes ? human_bytes(of.*row.of) : grouped(of.*row.of); };
    table.add({row.name, text(report.before), text(report.after)});
  }
  return table.text();
}

Json json_of(const Resources& resources) {
  JsonObject object;
  for (const Row& row : kRows) object.add(row.name, resources.*row.of);
  return object.json();
}

Json json_of(const std::vector<std::string>& texts) {
  JsonArray array;
  for (const std::string& text : texts) array.add(text);
  return array.json();
}

}  // namespace

void print_table(const ChaosReport& report) {
  tools::print("\n{}\n{}\n{}", deeds_table(report), calls_table(report), resources_table(report));
  for (const std::string& skipped : report.skipped) tools::print("not done: {}\n", printable(skipped));
  for (const std::string& wrong : report.wrongs) tools::print("WRONG: {}\n", printable(wrong));
  if (report.passed()) {
    tools::print("passed: {} calls in {} rounds, each accounted for, and nothing left behind\n", grouped(report.calls),
                 report.rounds);
  } else {
    tools::print("failed: {} wrong; --seed {} --duration {} has the same choices again\n",
                 counted(report.wrong_count, "thing"), report.seed, report.seconds);
  }
}

void print_json(const ChaosReport& report) {
  JsonObject deeds;
  for (const auto& [name, times] : report.deeds) deeds.add(name, times);
  JsonObject calls;
  for (const auto& [what, counts] : report.counts) {
    JsonObject of_each;
    for (std::size_t place = 0; place < kPlaces; ++place)
      of_each.add(name_of(static_cast<Place>(place)), counts[place]);
    calls.add(what, of_each.json());
  }
  JsonObject object;
  object.add("command", "chaos").add("seed", report.seed).add("duration_s", report.seconds);
  object.add("rounds", report.rounds).add("passed", report.passed()).add("deeds", deeds.json());
  object.add("calls", report.calls).add("outcomes", calls.json()).add("leases_revoked", report.leases_revoked);
  object.add("log_lines", report.log_lines).add("log_lines_refused", report.log_lines_refused);
  object.add("before", json_of(report.before)).add("after", json_of(report.after));
  object.add("not_done", json_of(report.skipped)).add("wrong", json_of(report.wrongs));
  tools::print("{}\n", object.json().text);
}

}  // namespace lpbench::chaos
