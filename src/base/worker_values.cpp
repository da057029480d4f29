// A worker's objects: found by their type, of which there are few.
#include "base/worker_values.hpp"

#include <stdexcept>
#include <string>
#include <utility>

namespace leasepool::detail {

namespace {

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): each thread has its own
thread_local WorkerValues* of_this_thread = nullptr;

WorkerValues& values_for(std::string_view verb, std::string_view type) {
  if (of_this_thread != nullptr) return *of_this_thread;
  throw std::logic_error("leasepool: " + std::string(verb) + "<" + std::string(type) +
                         ">() is for functions that run on a lease, or initialize a worker, and for their own thread; "
                         "this one is no worker's");
}

}  // namespace

WorkerValues::OnThisThread::OnThisThread(WorkerValues& values) noexcept
    : before_(std::exchange(of_this_thread, &values)) {}

WorkerValues::OnThisThread::~OnThisThread() { of_this_thread = before_; }

WorkerValues::~WorkerValues() {
  const OnThisThread in_destructors(*this);
  while (!kept_.empty()) {
    const Kept last = std::move(kept_.back());
    kept_.pop_back();
  }
}

void* WorkerValues::find(const std::type_info& type) const noexcept {
  for (const Kept& kept : kept_) {
    if (*kept.type == type) return kept.value.get();
  }
  return nullptr;
}

void WorkerValues::keep(const std::type_info& type, WorkerValue value) {
  kept_.push_back({.type = &type, .value = std::move(value)});
}

void check_worker_lacks_value(const std::type_info& type, std::string_view name) {
  if (values_for("make_worker_value", name).find(type) == nullptr) return;
  throw std::logic_error("leasepool: make_worker_value<" + std::string(name) +
                         ">(): this worker has one already; assign to worker_value<" + std::string(name) +
                         ">() to replace it");
}

void keep_worker_value(const std::type_info& type, std::string_view name, WorkerValue value) {
  check_worker_lacks_value(type, name);  // its own constructor may have made one
  values_for("make_worker_value", name).keep(type, std::move(value));
}

void* find_worker_value(const std::type_info& type) noexcept {
  return of_this_thread == nullptr ? nullptr : of_this_thread->find(type);
}

void throw_no_worker_value(std::string_view name) {
  (void)values_for("worker_value", name);
  throw std::logic_error("leasepool: worker_value<" + std::string(name) +
                         ">(): this worker has none; make it in ManagerOptions::initializer, with make_worker_value<" +
                         std::string(name) + ">()");
}

}  // namespace leasepool::detail
