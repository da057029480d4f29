// Which errors a call may end with, and what the ledger must say of it.
#include "account.hpp"

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

#include "limits.hpp"

namespace lpbench::chaos {

using leasepool::Errc;

namespace {

constexpr std::array<std::string_view, kPlaces> kNames = {"threads", "processes", "sockets", "clean", "nodes", "io"};

Errc errc_of(std::error_code code) {
  return code.category() == leasepool::error_category() ? static_cast<Errc>(code.value()) : Errc{};
}

// What the hand does explains it.
bool is_explained(const Call& call, Errc code) {
  switch (code) {
    case Errc::not_started:    // its manager or grinder was restarted
    case Errc::cancelled:      // by that, too
    case Errc::lease_expired:  // leases are short, and are made shorter
      return true;
    case Errc::timed_out: return call.bounded;
    case Errc::pool_broken:  // no descriptors or processes, or a fork server that was killed or stopped; or no threads
      return call.place != Place::threads || why_processes_are_unlimited().empty();
    case Errc::worker_crashed: return call.place != Place::threads;
    case Errc::node_lost: return call.place == Place::nodes;
    default: return false;
  }
}

// Descriptors are exhausted on purpose; everything else would have to have another cause.
bool is_exhaustion(std::error_code code) {
  return code == std::errc::too_many_files_open || code == std::errc::too_many_files_open_in_system;
}

}  // namespace

std::string_view name_of(Place place) { return kNames[static_cast<std::size_t>(place)]; }

Call Account::begin(Place place, Work work, bool bounded) {
  ++begun_;
  ++open_;
  count(place, "begun");
  do ++last_number_;
  while (last_of_slot_[last_number_ % Ledger::kSlots].number != 0 &&
         last_of_slot_[last_number_ % Ledger::kSlots].told == Told::nothing);
  Last& last = last_of_slot_[last_number_ % Ledger::kSlots];
  judge(last);
  last = {.number = last_number_, .told = Told::nothing};
  ledger_.begin(last_number_);
  return {.place = place, .work = work, .number = last_number_, .bounded = bounded};
}

void Account::tell(const Call& call, Told told, const std::string& outcome) {
  Last& last = last_of_slot_[call.number % Ledger::kSlots];
  if (last.number != call.number || last.told != Told::nothing) {
    return wrong(fmt::format("call {} on {} was answered twice: {}", call.number, name_of(call.place), outcome));
  }
  last.told = told;
  --open_;
  count(call.place, outcome);
  judge(last);
}

// As soon as it is told, and once more when its slot is needed: a call may run after that.
void Account::judge(const Last& last) {
  if (last.number == 0) return;
  const unsigned runs = ledger_.runs(last.number);
  if (runs > 1) wrong(fmt::format("call {} ran {} times", last.number, runs));
  if (runs == 0 && last.told == Told::right) wrong(fmt::format("call {} was answered and has not run", last.number));
  if (runs > 0 && last.told == Told::had_not_run) {
    wrong(fmt::format("call {} has run, and its caller was told that it has not", last.number));
  }
}

void Account::succeeded(const Call& call, bool right) {
  if (!right) wrong(fmt::format("call {} on {} got another's result", call.number, name_of(call.place)));
  if (call.work != Work::answer) {
    wrong(fmt::format("call {} on {} got a result and should have failed", call.number, name_of(call.place)));
  }
  tell(call, Told::right, "right result");
}

void Account::dropped(const Call& call) { tell(call, Told::dropped, "dropped by its caller"); }

void Account::failed(const Call& call, const leasepool::Error& error) {
  failed_with(call, error.code(), error.may_have_run(), error.message());
}

void Account::failed_with(const Call& call, std::error_code code, bool may_have_run, std::string_view message) {
  const Errc errc = errc_of(code);
  if (errc == Errc::remote_exception) {
    if (call.work != Work::fail || message != failure_of({.number = call.number})) {
      wrong(fmt::format("call {} on {} threw: {}", call.number, name_of(call.place), message));
    }
    return tell(call, Told::right, "own exception");
  }
  if (!is_explained(call, errc) && !is_exhaustion(code)) {
    wrong(fmt::format("call {} on {} failed: {}: {}", call.number, name_of(call.place), code.message(), message));
  }
  tell(call, may_have_run ? Told::failed : Told::had_not_run, code.message());
}

void Account::failed_by_exception(const Call& call) {
  try {
    throw;
  } catch (const leasepool::LeasePoolError& error) {
    failed_with(call, error.code(), error.may_have_run(), error.what());
  } catch (const std::runtime_error& error) {
    failed_with(call, Errc::remote_exception, true, error.what());
  }
}

void Account::acquire_failed(Place place, const std::exception& error, bool patient) {
  const auto* const ours = dynamic_cast<const std::system_error*>(&error);
  const Errc errc = ours != nullptr ? errc_of(ours->code()) : Errc{};
  const bool refused = errc == Errc::timed_out || errc == Errc::lease_unavailable;
  // A pool cannot be made: of threads where there are no descriptors or processes left.
  const bool explained = errc == Errc::not_started || errc == Errc::pool_broken || (refused && !patient);
  if (!explained && (ours == nullptr || !is_exhaustion(ours->code()))) {
    wrong(fmt::format("an acquire on {} failed: {}", name_of(place), error.what()));
  }
  count(place, "acquires that failed");
}

void Account::start_failed(Place place, const std::exception& error) {
  const auto* const ours = dynamic_cast<const std::system_error*>(&error);
  const bool explained = ours != nullptr && (errc_of(ours->code()) == Errc::pool_broken ||
                                             errc_of(ours->code()) == Errc::cancelled || is_exhaustion(ours->code()));
  if (!explained) wrong(fmt::format("a start of {} failed: {}", name_of(place), error.what()));
  count(place, "starts that failed");
}

void Account::io_succeeded(bool right) {
  if (!right) wrong("what was read is not what was written");
  count(Place::io, right ? "right result" : "wrong result");
}

void Account::io_failed(const std::exception& error) {
  const auto* const ours = dynamic_cast<const std::system_error*>(&error);
  if (ours == nullptr || !is_exhaustion(ours->code())) wrong(std::string("the loop's I/O failed: ") + error.what());
  count(Place::io, ours != nullptr ? ours->code().message() : "another exception");
}

void Account::wrong(std::string what) {
  constexpr std::size_t kShown = 20;
  ++wrong_count_;
  if (wrongs_.size() < kShown) wrongs_.push_back(std::move(what));
}

void Account::close() {
  for (Last& last : last_of_slot_) {
    if (last.number != 0 && last.told == Told::nothing) {
      wrong(fmt::format("call {} was never answered", last.number));
    } else {
      judge(last);
    }
    last = {};
  }
  open_ = 0;
}

}  // namespace lpbench::chaos
