// A worker's calls: encoded and sent, answered, taken back.
#include <algorithm>
#include <new>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "leasepool/detail/access.hpp"
#include "processes/worker.hpp"
#include "shared/call_errors.hpp"
#include "shared/exception_codec.hpp"
#include "shared/registry.hpp"

namespace leasepool::detail {

namespace {

// One result is decoded, and the next one received meanwhile.
constexpr std::size_t kMaxDecodings = 2;

}  // namespace

std::optional<Error> Worker::queue(std::unique_ptr<Job>& job) {
  check(state_ == WorkerState::serving && (idle() || has_credit()),
        "a job goes to a worker that serves, and is idle or has credit");
  SentCall sent;
  try {
    Descriptors descriptors;
    std::size_t large = 0;
    const Result<FunctionId> function = encode(*job, descriptors, large);
    if (!function) return function.error();
    finish_frame(frame_, large == 0 ? FrameType::call : FrameType::large_call, job->state.id, *function,
                 descriptors.size());
    sent = {.function = *function,
            .size = frame_.size() + large,
            .is_large = large != 0,
            .expected = run_times_->expected(*function)};
    channel_->expect(true);
    channel_->queue(frame_, std::move(descriptors), sent_.next_number());
  } catch (const std::bad_alloc&) {
    expect_outcomes();
    return Error::out_of_memory();
  }
  // A bound of its run is counted from a reading; else that of its submission is as good, or of what it waited for.
  if (idle()) {
    busy_since_ = job->state.reports_start ? loop_.now() : std::max(job->state.submitted, loop_.turn_time());
  }
  sent_.add(std::move(job), sent);
  ++calls_;
  return std::nullopt;
}

// Into `frame_`. Large arguments into the memory for them, if it is free: then `frame_` says how many bytes they are.
Result<FunctionId> Worker::encode(const Job& job, Descriptors& descriptors, std::size_t& large) {
  const std::size_t most = settings_.max_payload;
  const std::size_t most_in_memory = sent_.hold_argument_memory() ? 0 : std::min(most, arguments_.size());
  begin_frame_in(frame_);
  Result<FunctionId> function =
      job.encode(frame_, descriptors, most_in_memory == 0 ? most : std::min(most, ArgumentMemory::kLarge));
  if (function || most_in_memory == 0 || function.error().code() != Errc::payload_too_large) return function;
  Bytes bytes = arguments_.bytes();
  function = job.encode(bytes, descriptors, most_in_memory);
  arguments_.wrote(bytes.size());
  used_arguments_ = loop_.turn_time();
  if (give_back_timer_ == 0) release_memory_after(ArgumentMemory::kKeptFor);
  begin_frame_in(frame_);
  if (!function && most_in_memory < most) return job.encode(frame_, descriptors, most);
  large = bytes.size();
  ByteWriter(frame_, SIZE_MAX / 2).write(&large, sizeof large);
  return function;
}

// Unless there are other large calls, which are quicker where the memory has its pages.
void Worker::release_memory_after(Duration time) {
  try {
    give_back_timer_ = loop_.call_at(deadline_after(loop_.now(), time), [self = shared_from_this()] {
      self->give_back_timer_ = 0;
      self->give_memory_back();
    });
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): then after the next large call
  }
}

void Worker::give_memory_back() {
  constexpr Duration kPause = std::chrono::milliseconds(1);
  const bool is_in_use = sent_.hold_argument_memory() || loop_.turn_time() - used_arguments_ < ArgumentMemory::kKeptFor;
  if (is_in_use) return release_memory_after(ArgumentMemory::kKeptFor);
  if (arguments_.give_some_back()) release_memory_after(kPause);
}

// The loop looks for outcomes while some are due.
void Worker::expect_outcomes() { channel_->expect(!idle() || initializing_ != nullptr); }

std::unique_ptr<Job> Worker::take_job(const Job& job) {
  remember(job, sent_.function_of(job.state.id));
  return sent_.forget(job);
}

IntrusiveQueue<Job> Worker::take_jobs() noexcept {
  if (const Job* const job = sent_.running(); job != nullptr) remember(*job, sent_.function_of(job->state.id));
  return sent_.forget_all();
}

std::unique_ptr<Job> Worker::recall(const Job& job) noexcept {
  auto taken = sent_.recall(job.state.id);
  if (taken) uncount_calls(1);
  expect_outcomes();
  return taken;
}

IntrusiveQueue<Job> Worker::recall_first(std::size_t count) noexcept {
  auto taken = sent_.recall_first(count);
  uncount_calls(taken.size());
  return taken;
}

// Of calls that it will not have run.
void Worker::uncount_calls(std::size_t count) noexcept {
  check(calls_ >= count, "calls that a worker was sent are counted");
  calls_ -= count;
}

void Worker::initialize() {
  check(!initializing_ && !came_up_, "a worker is initialized once, before it serves");
  try {
    initializing_ = Access::make_job(initializer_);
    Bytes frame = begin_frame();
    Descriptors descriptors;
    const Result<FunctionId> function = initializing_->encode(frame, descriptors, settings_.max_payload);
    if (!function) return give_up("has no initializer: ", function.error().message());
    finish_frame(frame, FrameType::call, kInitializerCall, *function, descriptors.size());
    recent_.add(kInitializerCall, *function, {});  // for what it prints
    channel_->queue(frame, std::move(descriptors), kInitializerCall);
    channel_->flush();
    expect_outcomes();
  } catch (const std::bad_alloc&) {
    give_up("has no initializer: there is no memory for its arguments");
  }
}

void Worker::initialized(const Frame& frame) {
  if (frame.call_id != kInitializerCall) return violated("an outcome of a call it does not run");
  if (frame.type != FrameType::value) {  // what it returned is dropped
    if (const auto wrong = take_outcome(*initializing_, frame)) return violated(*wrong);
  }
  const std::unique_ptr<Job> ended = std::move(initializing_);
  expect_outcomes();
  if (const Error* const error = ended->error()) {
    const Error told = Access::with_message(
        *error, [&] { return std::string(ended->function_name()) + " failed: " + error->message(); });
    return give_up("could not be initialized: ", told.message());
  }
  initializer_ = {};
  come_up();
}

std::optional<std::string> Worker::take_outcome(Job& job, const Frame& frame) const {
  try {
    switch (frame.type) {
      case FrameType::value: take_value(job, frame); break;
      case FrameType::exception: job.fail(decode_exception(job.function_name(), frame.payload)); break;
      default: {
        Error failure = decode_failure(frame.payload);  // the worker does not know the name of what it does not know
        const bool unknown = failure.code() == Errc::unregistered_function;
        job.fail(unknown ? unknown_to_worker_error(job.function_name()) : std::move(failure));
      }
    }
  } catch (const DecodeError& error) {
    return error.what();
  } catch (const std::bad_alloc&) {
    job.fail(Error::out_of_memory());
  }
  return std::nullopt;
}

std::shared_ptr<Decoding> Worker::prepare_decoding(const Job& job, const Frame& frame) const noexcept {
  if (owner_ == nullptr || frame.type != FrameType::value || frame.lost_descriptors != 0) return nullptr;
  return owner_->prepare_decoding(*this, job, frame);
}

void Worker::decoding_ended() {
  check(decodings_ > 0, "a result is decoded once");
  if (--decodings_ < kMaxDecodings) channel_->go_on();
}

void Worker::accept_outcome(const Frame& frame) {
  const FunctionId function = sent_.function_of(frame.call_id);
  std::shared_ptr<Decoding> decoding;
  if (Job* const job = sent_.running(); job != nullptr) {
    decoding = prepare_decoding(*job, frame);
    if (decoding == nullptr) {
      if (const auto wrong = take_outcome(*job, frame)) return violated(*wrong);
    }
    remember(*job, function);
  }
  if (frame.function_id != kNotMeasured) {
    const std::uint64_t most{INT64_MAX};
    run_times_->ran(function, Duration(static_cast<std::int64_t>(std::min(frame.function_id, most))));
  }
  auto ended = call_answered();
  if (decoding != nullptr) {
    decoding->take(frame);
    ended = owner_->begin_decoding(decoding, std::move(ended));
    if (ended == nullptr && ++decodings_ == kMaxDecodings) channel_->pause();
  }
  if (owner_ != nullptr) owner_->worker_finished(*this, std::move(ended));
}

void Worker::accept_refusal() {
  uncount_calls(1);
  auto ended = call_answered();
  if (owner_ != nullptr) owner_->worker_finished(*this, std::move(ended));
}

std::unique_ptr<Job> Worker::call_answered() {
  auto ended = sent_.answered();
  busy_since_ = loop_.turn_time();
  if (ended) ended->state.ended.store(busy_since_, std::memory_order_relaxed);
  expect_outcomes();
  return ended;
}

void Worker::take_value(Job& job, const Frame& frame) const {
  if (frame.lost_descriptors == 0) {
    return job.accept(frame.payload, frame.descriptors, decode_limits_);
  }
  job.fail(lost_descriptors_error(job.function_name(), "decoding its result", frame.lost_descriptors,
                                  "raise ulimit -n, or close some"));
}

// The call has not begun, and would be refused again: so it has failed, and ends when the worker has passed the empty
// frame in its place.
void Worker::descriptors_refused(std::uint64_t number, int error) {
  const auto refusal_of = [&](const Job& job) {
    return Error::make(Errc::bad_payload, [&] {
      return refused_descriptors_error(job.function_name(), "sending its arguments", error).message();
    });
  };
  if (initializing_) return give_up("has no initializer: ", refusal_of(*initializing_).message());
  if (ended_by_us_ || !failure_.empty()) return;
  if (Job* const job = sent_.refuse(number); job != nullptr) job->fail(Access::not_run(refusal_of(*job)));
}

// For what it prints between two calls, or printed in this one and is read later.
void Worker::remember(const Job& job, FunctionId function) { recent_.add(job.state.id, function, job.state.owner()); }

}  // namespace leasepool::detail
