// The deeds.
#include "hand.hpp"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <exception>
#include <utility>

#include "guardian.hpp"
#include "limits.hpp"

namespace lpbench::chaos {

namespace lp = leasepool;
using namespace std::chrono_literals;

std::span<const Hand::Deed> Hand::all_deeds() {
  static constexpr Deed kAll[] = {
      {.name = "workers killed", .weight = 30, .act = &Hand::kill_worker},
      {.name = "fork servers killed", .weight = 4, .act = &Hand::kill_fork_server},
      {.name = "fork servers in reserve killed", .weight = 3, .act = &Hand::kill_reserve},
      {.name = "nodes killed", .weight = 3, .act = &Hand::kill_node},
      {.name = "NATS server killed", .weight = 1, .act = &Hand::kill_server},
      {.name = "workers stopped and continued", .weight = 6, .act = &Hand::stop_worker},
      {.name = "fork servers stopped and continued", .weight = 3, .act = &Hand::stop_fork_server},
      {.name = "nodes stopped and continued", .weight = 3, .act = &Hand::stop_node},
      {.name = "NATS server stopped and continued", .weight = 1, .act = &Hand::stop_server},
      {.name = "program stopped and continued", .weight = 3, .act = &Hand::stop_program},
      {.name = "log's disk filled", .weight = 3, .act = &Hand::fill_disk},
      {.name = "descriptors exhausted", .weight = 3, .act = &Hand::exhaust_descriptors},
      {.name = "process slots exhausted", .weight = 3, .act = &Hand::exhaust_processes},
      {.name = "leases expired", .weight = 12, .act = &Hand::expire_lease},
      {.name = "managers restarted", .weight = 3, .act = &Hand::restart_manager},
      {.name = "callers' tasks dropped", .weight = 8, .act = &Hand::drop_tasks},
  };
  return kAll;
}

Hand::Hand(lp::Loop& loop, Account& account, Deeds& deeds, Reach reach, std::uint64_t seed)
    : loop_(loop),
      account_(account),
      deeds_(deeds),
      reach_(std::move(reach)),
      sequence_(seed),
      processes_are_limited_(why_processes_are_unlimited().empty()) {
  for (const Deed& deed : all_deeds()) deeds_.try_emplace(deed.name, 0);
}

lp::Task<> Hand::play() {
  while (!over_) {
    random_.seed(sequence_());
    auto pause = loop_.sleep(random_time(1, 25));
    co_await pause;
    reap_children();
    undo(Clock::now());
    tend_nodes();
    act();
  }
  undo_all();
}

// Drawn by weight; what cannot be done now is left out.
void Hand::act() {
  unsigned all = 0;
  for (const Deed& deed : all_deeds()) all += deed.weight;
  std::uint64_t drawn = random(0, all - 1);
  for (const Deed& deed : all_deeds()) {
    if (drawn >= deed.weight) {
      drawn -= deed.weight;
      continue;
    }
    if ((this->*deed.act)()) ++deeds_[deed.name];
    return;
  }
}

void Hand::undo(Clock::time_point due) {
  std::vector<Undo> now;
  const auto later = std::ranges::partition(undos_, [due](const Undo& undo) { return undo.due > due; });
  std::ranges::move(later, std::back_inserter(now));
  undos_.erase(later.begin(), later.end());
  for (const Undo& undo : now) undo.act();
}

// A part that cannot be started now, as there are no processes left, is tried again.
void Hand::undo_all() noexcept {
  constexpr int kTries = 100;
  for (int tries = 0; !undos_.empty() && tries < kTries; ++tries) undo(Clock::time_point::max());
}

void Hand::start_part(std::size_t part) {
  try {
    reach_.nodes->start(part);
  } catch (const std::system_error&) {
    undo_after(20ms, [this, part] { start_part(part); });
  }
}

void Hand::undo_after(std::chrono::milliseconds time, std::function<void()> act) {
  undos_.push_back({.due = Clock::now() + time, .act = std::move(act)});
}

void Hand::tend_nodes() {
  if (reach_.nodes == nullptr || processes_are_exhausted_) return;
  try {
    if (const auto wrong = reach_.nodes->tend()) account_.wrong(*wrong);
  } catch (const std::system_error&) {
    return;  // no processes left: the next time
  }
}

// A node says so, and ends, where its first fork server is killed.
bool Hand::is_of_node_that_starts(const std::vector<Relative>& all, pid_t pid) const {
  for (;;) {
    const auto found = std::ranges::find(all, pid, &Relative::pid);
    if (found == all.end()) return false;
    for (std::size_t part = 1; reach_.nodes != nullptr && part < Nodes::kParts; ++part) {
      if (reach_.nodes->pid(part) == pid) return !reach_.nodes->is_up(part);
    }
    pid = found->parent;
  }
}

// Of fork servers and those in reserve, those that have each other: without both, no worker can be made any more.
std::vector<pid_t> Hand::all_that_are(Role role) const {
  const std::vector<Relative> all = descendants();
  const auto is = [&all](pid_t pid, Role wanted) {
    return std::ranges::any_of(all, [&](const Relative& one) { return one.pid == pid && one.role == wanted; });
  };
  const auto has_reserve = [&all](pid_t server) {
    return std::ranges::any_of(
        all, [server](const Relative& one) { return one.role == Role::reserve && one.parent == server; });
  };
  std::vector<pid_t> found;
  for (const Relative& one : all) {
    if (one.role != role || is_of_node_that_starts(all, one.pid)) continue;
    const bool has_other = role == Role::fork_server ? has_reserve(one.pid)
                           : role == Role::reserve   ? is(one.parent, Role::fork_server)
                                                     : true;
    if (has_other) found.push_back(one.pid);
  }
  return found;
}

bool Hand::kill_one(Role role) {
  const std::vector<pid_t> all = all_that_are(role);
  if (all.empty()) return false;
  return ProcessRef(all[random(0, all.size() - 1)]).signal(SIGKILL);
}

// Never the second one before the first is gone: what is being killed still looks alive.
bool Hand::kill_server_or_reserve(Role role) {
  if (struck_ && !struck_->is_dead()) return false;
  const std::vector<pid_t> all = all_that_are(role);
  if (all.empty()) return false;
  struck_.reset();
  struck_.emplace(all[random(0, all.size() - 1)]);
  return struck_->signal(SIGKILL);
}

bool Hand::kill_worker() { return kill_one(Role::worker); }
bool Hand::kill_fork_server() { return kill_server_or_reserve(Role::fork_server); }
bool Hand::kill_reserve() { return kill_server_or_reserve(Role::reserve); }

bool Hand::stop_one(pid_t pid) {
  return have_stopped(pid, random(1, 4) == 1 ? random_time(1, 400) : random_time(1, 40));
}

bool Hand::stop_worker() {
  const std::vector<pid_t> all = all_that_are(Role::worker);
  return !all.empty() && stop_one(all[random(0, all.size() - 1)]);
}

bool Hand::stop_fork_server() {
  const std::vector<pid_t> all = all_that_are(Role::fork_server);
  return !all.empty() && stop_one(all[random(0, all.size() - 1)]);
}

// Some part of the nodes from `first` to `last`.
bool Hand::strike_part(std::size_t first, std::size_t last, bool kills) {
  if (reach_.nodes == nullptr) return false;
  const std::size_t part = random(first, last);
  if (reach_.nodes->pid(part) == 0) return false;
  if (!kills) return stop_one(reach_.nodes->pid(part));
  reach_.nodes->kill(part);
  undo_after(random_time(0, 600), [this, part] { start_part(part); });
  return true;
}

bool Hand::kill_node() { return strike_part(1, Nodes::kNodes, true); }
bool Hand::stop_node() { return strike_part(1, Nodes::kNodes, false); }
bool Hand::kill_server() { return strike_part(0, 0, true); }
bool Hand::stop_server() { return strike_part(0, 0, false); }

bool Hand::stop_program() { return have_stopped(::getpid(), random_time(1, 100)); }

bool Hand::fill_disk() {
  if (std::exchange(disk_is_full_, true)) return false;
  reach_.log->set_full(true);
  undo_after(random_time(20, 300), [this] {
    reach_.log->set_full(false);
    disk_is_full_ = false;
  });
  return true;
}

bool Hand::exhaust_descriptors() {
  const rlim_t few = descriptors_for(random(0, 4));
  if (few == 0 || std::exchange(descriptors_are_exhausted_, true)) return false;
  auto limit = std::make_shared<LoweredLimit>(0, RLIMIT_NOFILE, few);
  undo_after(random_time(1, 80), [this, limit]() mutable {
    limit.reset();
    descriptors_are_exhausted_ = false;
  });
  return true;
}

// Here, where threads are made, and in the fork servers, where workers are.
bool Hand::exhaust_processes() {
  if (!processes_are_limited_ || std::exchange(processes_are_exhausted_, true)) return false;
  const auto limits = std::make_shared<std::vector<std::unique_ptr<LoweredLimit>>>();
  limits->push_back(std::make_unique<LoweredLimit>(0, RLIMIT_NPROC, 1));
  for (const pid_t server : all_that_are(Role::fork_server)) {
    limits->push_back(std::make_unique<LoweredLimit>(server, RLIMIT_NPROC, 1));
  }
  undo_after(random_time(1, 80), [this, limits] {
    limits->clear();
    processes_are_exhausted_ = false;
  });
  return true;
}

bool Hand::expire_lease() { return any_side().expire_a_lease(); }
bool Hand::restart_manager() { return any_side().restart(); }

bool Hand::drop_tasks() {
  if (random(0, reach_.sides.size()) == 0) return reach_.io->drop_tasks() > 0;
  return any_side().drop_tasks() > 0;
}

}  // namespace lpbench::chaos
