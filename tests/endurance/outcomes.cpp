// The model: which errors a call may end with.
#include "outcomes.hpp"

#include <cstdio>
#include <new>
#include <stdexcept>

namespace endurance {

namespace lp = leasepool;

namespace {

constexpr const char* kFailText = "as it should";

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::add: return "add";
    case Kind::echo: return "echo";
    case Kind::fail: return "fail";
    case Kind::nap: return "nap";
    case Kind::crash: return "crash";
    case Kind::doom: return "doom";
    case Kind::mark: return "mark";
  }
  return "?";
}

bool may_end_with(const Circumstances& call, std::error_code code) {
  if (code.category() != lp::error_category()) return false;
  switch (static_cast<lp::Errc>(code.value())) {
    case lp::Errc::not_started:    // the manager or the grinder was stopped or destroyed
    case lp::Errc::cancelled:      // by that, too
    case lp::Errc::lease_expired:  // leases are short, or were released
      return true;
    case lp::Errc::timed_out: return call.has_timeout;
    case lp::Errc::queue_full: return call.bounded_queue;
    case lp::Errc::worker_crashed:  // any worker may be doomed
    case lp::Errc::pool_broken: return call.backend == lp::ExecutorBackend::process;
    default: return false;
  }
}

}  // namespace

void Outcomes::begun(Kind /*kind*/) {
  const std::lock_guard lock(mutex_);
  ++begun_;
}

void Outcomes::count(const Circumstances& call, const std::string& outcome) {
  const std::lock_guard lock(mutex_);
  ++told_;
  ++counts_[{(call.backend == lp::ExecutorBackend::thread ? "thread " : "process ") + std::string(name_of(call.kind)),
             outcome}];
}

void Outcomes::succeeded(const Circumstances& call, bool right) {
  if (!right) wrong(std::string(name_of(call.kind)) + " gave a wrong result");
  if (call.kind == Kind::fail) wrong("a function that throws gave a result");
  if (call.kind == Kind::crash) wrong("a function that ends its process gave a result");
  count(call, "result");
}

void Outcomes::failed_with(const Circumstances& call, std::error_code code, const std::string& message) {
  if (!may_end_with(call, code)) wrong(std::string(name_of(call.kind)) + " failed: " + message);
  count(call, code.message());
}

void Outcomes::failed(const Circumstances& call, const lp::Error& error) {
  if (error.code() != lp::Errc::remote_exception) return failed_with(call, error.code(), error.message());
  if (call.kind != Kind::fail || error.message().find(kFailText) == std::string::npos) {
    wrong(std::string(name_of(call.kind)) + " threw: " + error.message());
  }
  count(call, "its own exception");
}

void Outcomes::failed_by_exception(const Circumstances& call) {
  try {
    throw;
  } catch (const lp::LeasePoolError& error) {
    failed_with(call, error.code(), error.what());
  } catch (const std::runtime_error& error) {
    if (call.kind != Kind::fail || std::string(error.what()) != kFailText) {
      wrong(std::string(name_of(call.kind)) + " threw: " + error.what());
    }
    count(call, "its own exception");
  } catch (const std::exception& error) {
    wrong(std::string(name_of(call.kind)) + " threw: " + error.what());
    count(call, "another exception");
  }
}

void Outcomes::acquire_failed(lp::ExecutorBackend backend, const std::exception& error, bool may_be_refused) {
  const auto* const ours = dynamic_cast<const lp::LeasePoolError*>(&error);
  const bool may_be =
      ours != nullptr &&
      (ours->code() == lp::Errc::not_started ||
       (may_be_refused && (ours->code() == lp::Errc::timed_out || ours->code() == lp::Errc::lease_unavailable)) ||
       (backend == lp::ExecutorBackend::process && ours->code() == lp::Errc::pool_broken));
  if (!may_be) wrong(std::string("acquire failed: ") + error.what());
  const std::lock_guard lock(mutex_);
  ++counts_[{backend == lp::ExecutorBackend::thread ? "thread acquire" : "process acquire",
             ours != nullptr ? ours->code().message() : "another exception"}];
}

void Outcomes::wrong(std::string what) {
  const std::lock_guard lock(mutex_);
  constexpr std::size_t kMax = 20;
  if (wrongs_.size() < kMax) wrongs_.push_back(std::move(what));
}

std::size_t Outcomes::begun_in_all() const {
  const std::lock_guard lock(mutex_);
  return begun_;
}

std::size_t Outcomes::told_in_all() const {
  const std::lock_guard lock(mutex_);
  return told_;
}

std::string Outcomes::wrongs() const {
  const std::lock_guard lock(mutex_);
  std::string text;
  for (const std::string& wrong : wrongs_) text += wrong + "\n";
  return text;
}

void Outcomes::print() const {
  const std::lock_guard lock(mutex_);
  std::printf("%zu calls\n", begun_);
  for (const auto& [what, count] : counts_) {
    std::printf("%-14s %-32s %9zu\n", what.first.c_str(), what.second.c_str(), count);
  }
  std::fflush(stdout);
}

}  // namespace endurance
