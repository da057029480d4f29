// Bytes to a worker and back, or through a function on a thread of this process.
#include "remote/raw_job.hpp"

#include <exception>
#include <string>
#include <utility>

#include "leasepool/detail/keep_result.hpp"
#include "remote/failure.hpp"
#include "shared/exception_codec.hpp"
#include "shared/registry.hpp"

namespace leasepool::detail::remote {

namespace {

// Not not_serializable, which says that the function has not run.
Error has_descriptors(std::string_view function) {
  return Error::make(Errc::bad_payload, [&] {
    return "the result of " + std::string(function) +
           " has descriptors (Fd or SharedBuffer), which do not go to another machine; send the bytes themselves";
  });
}

}  // namespace

RawJob::RawJob(std::weak_ptr<RawJobSink> sink, std::uint64_t call, const CallHead& head,
               std::span<const std::byte> arguments, std::size_t max_payload)
    : sink_(std::move(sink)),
      call_(call),
      function_(head.function),
      signature_(head.signature),
      max_payload_(max_payload) {
  arguments_.append(arguments);
}

std::string_view RawJob::function_name() const {
  const RegisteredFunction* const known = find_function_by_id(function_);
  return known == nullptr ? std::string_view("an unknown function") : known->name;
}

// Null where this node has none with the name, or it has other types here.
const RegisteredFunction* RawJob::function() const noexcept {
  const RegisteredFunction* const known = find_function_by_id(function_);
  return known != nullptr && known->signature.load() == signature_ ? known : nullptr;
}

Error RawJob::cannot_run() const {
  const RegisteredFunction* const known = find_function_by_id(function_);
  return known == nullptr
             ? Error::make(Errc::unregistered_function,
                           [] {
                             return std::string("it has no function of that name; register it there, too, with "
                                                "LEASEPOOL_REGISTER");
                           })
             : Error::make(Errc::bad_payload, [&] {
                 return "its " + std::string(known->name) +
                        " has other parameters or another result; build both of the same source, with the "
                        "same compiler";
               });
}

void RawJob::run() noexcept {
  const RegisteredFunction* const known = function();
  const auto invoke = known == nullptr ? nullptr : known->invoke.load();
  if (invoke == nullptr) return fail(Access::not_run(cannot_run()));
  ByteWriter result(result_, max_payload_);
  DescriptorWriter descriptors;
  Invocation invocation{.arguments = arguments_.view(), .result = &result, .result_descriptors = &descriptors};
  try {
    invoke(invocation);
  } catch (...) {
    if (invocation.phase == CallPhase::running) return fail(thrown_error());
    const bool decoding = invocation.phase == CallPhase::decoding;
    const char* const what = decoding ? "decoding its arguments" : "encoding its result";
    const Error error = bad_payload_error(known->name, what, describe_current_exception());
    return fail(decoding ? Access::not_run(error) : error);
  }
  if (!result.fits()) fail(payload_too_large_error(known->name, "the result", result.written(), max_payload_));
  if (descriptors.written() != 0) fail(has_descriptors(known->name));
}

Result<FunctionId> RawJob::encode(Bytes& out, Descriptors& /*descriptors*/, std::size_t limit) const {
  if (function() == nullptr) return std::unexpected(cannot_run());
  if (arguments_.size() > limit) {
    return std::unexpected(payload_too_large_error(function_name(), "the arguments", arguments_.size(), limit));
  }
  out.append(arguments_.view());
  if (const auto sink = sink_.lock()) sink->raw_job_begun(call_);
  return function_;
}

void RawJob::accept(std::span<const std::byte> result, std::span<Fd> descriptors,
                    const DecodeLimits& /*limits*/) noexcept {
  if (!descriptors.empty()) return fail(has_descriptors(function_name()));
  if (result.size() > max_payload_) {
    return fail(payload_too_large_error(function_name(), "the result", result.size(), max_payload_));
  }
  try {
    result_.append(result);
  } catch (const std::bad_alloc&) {
    fail(Error::out_of_memory());
  }
}

void RawJob::deliver() {
  if (Access::is_error(error_)) return tell(error_);
  tell({.call = call_, .kind = OutcomeKind::value}, result_.view());
}

void RawJob::deliver_early(Error error) {
  tell(error);
  sink_.reset();
}

// What the function threw crosses as what it is; all else as its code and text.
void RawJob::tell(const Error& error) {
  Bytes bytes;
  OutcomeHead head{.call = call_, .kind = OutcomeKind::failure, .may_have_run = error.may_have_run()};
  try {
    error.raise();
  } catch (const LeasePoolError&) {
    put_failure(bytes, error);
  } catch (const std::bad_alloc&) {
    put_failure(bytes, error);
  } catch (...) {
    head.kind = OutcomeKind::exception;
    encode_current_exception(bytes, report_limit(max_payload_));
  }
  tell(head, bytes.view());
}

void RawJob::tell(OutcomeHead head, std::span<const std::byte> bytes) {
  const TimePoint started = state.started.load(std::memory_order_relaxed);
  const TimePoint ended = state.ended.load(std::memory_order_relaxed);
  if (started != TimePoint{} && ended > started) head.ran_for = ended - started;
  if (const auto sink = sink_.lock()) sink->raw_job_ended(head, bytes);
}

}  // namespace leasepool::detail::remote
