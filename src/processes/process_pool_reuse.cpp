// Which workers serve, which are spare, and which have served.
#include <algorithm>
#include <utility>

#include "base/check.hpp"
#include "processes/process_pool.hpp"

namespace leasepool::detail {

void ProcessPool::serve(Worker& worker) {
  check(dispatcher_->workers() < options_.workers, "no more workers serve than are to");
  dispatcher_->join(worker);
  if (deaths_.empty()) return;
  options_.totals->last_replacement_time = loop_.now() - deaths_.front();
  deaths_.pop_front();
}

void ProcessPool::add_workers(std::vector<WorkerStats>& workers) const {
  for (const auto& worker : workers_) {
    workers.push_back(worker->stats());
    workers.back().pool = options_.name;
  }
}

void ProcessPool::add_spare(Worker& worker) noexcept {
  check(spares_.size() < options_.spare_workers, "a pool keeps no more spare workers than it is to");
  spares_.push_back(&worker);
  ++options_.totals->spare_workers;
}

void ProcessPool::remove_spare(const Worker& worker) noexcept {
  options_.totals->spare_workers -= std::erase(spares_, &worker);
}

void ProcessPool::promote_spares() {
  while (!closing_ && !broken_ && !spares_.empty() && dispatcher_->workers() < options_.workers) {
    Worker& worker = *spares_.front();
    remove_spare(worker);
    serve(worker);
  }
}

// One at a time where no spare one takes its place at once, so that a pool whose workers started together does not lose
// them together.
bool ProcessPool::is_due_for_recycling(const Worker& worker) const noexcept {
  if (!worker.due_for_recycling()) return false;
  return !spares_.empty() ||
         (live_ == options_.workers + options_.spare_workers &&
          std::ranges::all_of(workers_, [](const auto& other) { return other->dying() || other->came_up(); }));
}

void ProcessPool::recycle(Worker& worker) {
  ++options_.totals->workers_recycled;
  trace_worker(worker, "recycled");
  retire(worker);
  worker.close_idle();
  refill();
}

// It is killed, as nobody can know what it runs by now, and whether it would heed anything else.
void ProcessPool::discard(Worker& worker) {
  ++options_.totals->workers_recycled;
  trace_worker(worker, "recycled");
  retire(worker);
  worker.kill();
}

// What comes next has the spare ones at once; to have others made takes the loop longer than all that it does for a
// call.
void ProcessPool::replace_next_turn() {
  promote_spares();
  if (closing_ || next_turn_.is_set()) return;
  next_turn_.set(loop_.now(), [this] {
    next_turn_.came();
    refill();
  });
}

void ProcessPool::lease_ended() {
  if (options_.worker_reuse == WorkerReuse::always) return;
  for_each_worker([this](Worker& worker) {
    if (worker.was_used() && !worker.dying()) discard(worker);
  });
  replace_next_turn();
}

}  // namespace leasepool::detail
