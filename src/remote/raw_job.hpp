// RawJob: a manager's call on the node that runs it. Its arguments and its result stay bytes here; workers decode.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/detail/job.hpp"
#include "remote/lease_bodies.hpp"

namespace leasepool::detail::remote {

// Who sent it. Not inside what hands the job over.
class RawJobSink {
 public:
  virtual void raw_job_begun(std::uint64_t call) = 0;
  virtual void raw_job_ended(const OutcomeHead& head, std::span<const std::byte> bytes) = 0;

 protected:
  ~RawJobSink() = default;
};

class RawJob final : public Job {
 public:
  // The most bytes of a result that the manager takes.
  RawJob(std::weak_ptr<RawJobSink> sink, std::uint64_t call, const CallHead& head, std::span<const std::byte> arguments,
         std::size_t max_payload);

  void run() noexcept override;
  Result<FunctionId> encode(Bytes& out, Descriptors& descriptors, std::size_t limit) const override;
  void accept(std::span<const std::byte> result, std::span<Fd> descriptors,
              const DecodeLimits& limits) noexcept override;
  [[nodiscard]] std::unique_ptr<ResultDecoder> make_decoder() const override { return nullptr; }
  void accept(ResultDecoder& /*decoded*/) noexcept override {}
  void fail(Error error) override { error_ = std::move(error); }
  void deliver() override;
  void deliver_early(Error error) override;
  [[nodiscard]] const Error* error() const noexcept override { return Access::is_error(error_) ? &error_ : nullptr; }
  [[nodiscard]] bool takes_stop_token() const noexcept override { return false; }
  [[nodiscard]] std::string_view function_name() const override;

 private:
  [[nodiscard]] const RegisteredFunction* function() const noexcept;
  [[nodiscard]] Error cannot_run() const;
  void tell(OutcomeHead head, std::span<const std::byte> bytes);
  void tell(const Error& error);

  std::weak_ptr<RawJobSink> sink_;
  std::uint64_t call_;
  FunctionId function_;
  std::uint64_t signature_;
  std::size_t max_payload_;
  Bytes arguments_;
  Bytes result_;
  Error error_ = Access::make_no_error<Error>();
};

}  // namespace leasepool::detail::remote
