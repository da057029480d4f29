// Makes runs of the tables' rows and of how many calls of each there are.
#include "plan.hpp"

#include <algorithm>
#include <cerrno>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "system_calls.hpp"

namespace faults {

namespace {

long count_of(const Baseline& baseline, std::string_view call, Role role) {
  const auto found = baseline.calls.find(call);
  return found == baseline.calls.end() ? 0 : found->second.of[static_cast<std::size_t>(role)];
}

// "Try again" without end is no failure but a call that never returns, unless it means that a limit is reached.
// Nor is what the loop sends refused for good, on either engine: it is sent again until it goes.
bool may_last(std::string_view call, int error, Role role) {
  if (call == "sendto" && role == Role::parent) return false;
  if (error == EAGAIN) return call == "clone" || call == "mmap";
  return error != EINTR && error != EBUSY;
}

// How many of a kind there are where not all are tried. Allocations are all of one kind, though each is another's.
constexpr long kFirstAndLast = 2;
constexpr long kAllocations = 40;

class Plan {
 public:
  Plan(const Backend& backend, const Baseline& baseline, Occurrences occurrences)
      : backend_(backend), baseline_(baseline), occurrences_(occurrences) {}

  void add(std::string_view call, int error, Role role, long places, bool each_time_too) {
    const long count = count_of(baseline_, call, role);
    if (count == 0) return;
    const auto add_one = [&](long nth) {
      runs.push_back(
          {.fault = {.call = std::string(call), .error = error, .role = role, .nth = nth}, .backend = &backend_});
    };
    const long step = occurrences_ == Occurrences::all ? 1 : std::max(1L, (count - 1) / (places - 1));
    for (long nth = 1; nth <= count; nth += step) add_one(nth);
    if (each_time_too) add_one(0);
  }

  std::vector<Run> runs;

 private:
  const Backend& backend_;
  const Baseline& baseline_;
  const Occurrences occurrences_;
};

}  // namespace

std::vector<Run> plan(const Backend& backend, const Baseline& baseline, Occurrences occurrences,
                      std::string_view kind) {
  Plan plan(backend, baseline, occurrences);
  if (kind.empty() || kind == "calls") {
    for (const SystemCall& row : system_calls()) {
      for (const int error : row.errnos) {
        for (const Role role : row.roles)
          plan.add(row.name, error, role, kFirstAndLast, may_last(row.name, error, role));
      }
    }
    for (const RingRow& row : ring_rows()) {
      for (const int error : row.errnos) plan.add(row.name, error, Role::parent, kFirstAndLast, false);
    }
  }
  if (kind.empty() || kind == "memory") {
    for (const Role role : {Role::parent, Role::server, Role::worker})
      plan.add("new", ENOMEM, role, kAllocations, false);
  }
  return std::move(plan.runs);
}

void leave_out_repeated(std::vector<Run>& runs) {
  using Kind = std::tuple<std::string, int, Role, bool, bool>;
  std::map<Kind, const Backend*> first;
  std::erase_if(runs, [&](const Run& run) {
    const bool on_epoll = run.backend->on_epoll && run.fault.role == Role::parent;  // as the loop is there alone
    const Kind kind{run.fault.call, run.fault.error, run.fault.role, run.backend->processes, on_epoll};
    return first.emplace(kind, run.backend).first->second != run.backend;
  });
}

std::vector<std::string> never_made(const std::map<const Backend*, Baseline>& baselines) {
  std::vector<std::string> rows;
  const auto look_for = [&](std::string_view call, Role role) {
    const auto has_it = [&](const auto& measured) { return count_of(measured.second, call, role) != 0; };
    if (std::ranges::none_of(baselines, has_it)) rows.push_back(std::string(call) + " by " + name_of(role));
  };
  for (const SystemCall& row : system_calls()) {
    if (row.errnos.empty()) continue;
    for (const Role role : row.roles) look_for(row.name, role);
  }
  for (const RingRow& row : ring_rows()) look_for(row.name, Role::parent);
  return rows;
}

}  // namespace faults
