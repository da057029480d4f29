// The parent's view of a worker process whose channel, status page and output are an input's. There is no process: what
// stands for its pidfd is an eventfd, which is readable when the worker is to be dead, and takes no signals.
#include "processes/worker.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "fuzz/hostile_end.hpp"
#include "fuzz/targets.hpp"
#include "leasepool/detail/bound_job.hpp"
#include "leasepool/function.hpp"
#include "shared/exception_codec.hpp"
#include "shared/status_page.hpp"

namespace leasepool::fuzz {

namespace fuzz_worker {

std::vector<std::string> texts(const std::string& text) { return {text}; }
void nothing(int /*number*/) {}

}  // namespace fuzz_worker

}  // namespace leasepool::fuzz

LEASEPOOL_REGISTER(leasepool::fuzz::fuzz_worker::texts);
LEASEPOOL_REGISTER(leasepool::fuzz::fuzz_worker::nothing);

namespace leasepool::fuzz {

namespace worker_target {
namespace {

using detail::Bytes;
using detail::FrameType;
using detail::Job;
using detail::Worker;

constexpr std::size_t kMaxPayload = 50'000;
constexpr std::size_t kMaxDeeds = 32;
constexpr pid_t kNoProcess = pid_t{1} << 30;  // above all that there can be

class Owner final : public detail::WorkerOwner {
 public:
  void worker_ready(Worker& /*worker*/) override {
    require(!is_dying && !std::exchange(is_ready, true), "a worker is ready once, while it lives");
  }
  void worker_finished(Worker& /*worker*/, std::unique_ptr<Job> job) override {
    require(is_ready && !is_gone, "calls end while there is a worker");
    if (job) job->deliver();
  }
  std::shared_ptr<detail::Decoding> prepare_decoding(const Worker& /*worker*/, const Job& /*job*/,
                                                     const detail::Frame& /*frame*/) noexcept override {
    return nullptr;
  }
  std::unique_ptr<Job> begin_decoding(const std::shared_ptr<detail::Decoding>& /*decoding*/,
                                      std::unique_ptr<Job> job) noexcept override {
    return job;
  }
  void worker_dying(Worker& /*worker*/) override { require(!std::exchange(is_dying, true), "a worker dies once"); }
  [[nodiscard]] bool takes_line(std::size_t size) const override { return size < 4000; }
  void worker_printed(LogRecord record) override { require(record.text.size() <= 8192, "a line has its bound"); }
  void worker_dropped_lines(std::uint64_t /*lines*/) override {}
  void may_not_kill(Worker& /*worker*/) noexcept override { is_to_be_killed = true; }
  void worker_gone(Worker& worker, std::unique_ptr<Job> job) override {
    require(!std::exchange(is_gone, true), "a worker is gone once");
    require(!worker.describe_end().empty(), "an end has words");
    if (!job) return;
    (void)worker.had_begun(*job);
    (void)worker.report_end(*job);
    (void)worker.noted_stack(*job);
    job->fail(Error(Errc::worker_crashed, worker.describe_end()));
    job->deliver();
  }

  bool is_ready = false;
  bool is_dying = false;
  bool is_gone = false;
  bool is_to_be_killed = false;
};

detail::PoolOptions options(bool shares_memory) {
  detail::PoolOptions options;
  options.max_payload = kMaxPayload;
  options.shared_memory = shares_memory;
  options.decode_limits = {.most_bytes = std::size_t{1} << 20, .most_time = std::chrono::seconds(5)};
  return options;
}

struct Stage {
  explicit Stage(bool shares_memory)
      : worker(std::make_shared<Worker>(loop, owner, 1, options(shares_memory), std::make_shared<detail::RunTimes>())) {
    detail::SpawnRequest request = worker->prepare(nullptr);
    page = detail::StatusPage::map(request.status_page.get());
    other.socket = std::move(request.channel);
    other.calls = page.calls();
    other.outcomes = page.outcomes();
    standard_error = std::move(request.standard_error);
    worker->spawned({.pid = kNoProcess, .pidfd = detail::UniqueFd(::dup(death.get()))});
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage() {
    worker->detach();
    worker.reset();
    other.socket.reset();
    standard_error.reset();
    require(turn_until(loop, [&] { return loop.engine().in_flight() == own_operations; }),
            "a detached worker has nothing in flight in the end");
  }

  template <class F, class A>
  void call(F function, const A& argument) {
    const std::uint64_t id = ++called;
    auto keep = [this, id](const auto& result) {
      ++ended;
      require(result.has_value() || result.error().code(), "a failure says of which kind it is");
      const bool was_said = other.said.find(static_cast<char>(id)) != std::string::npos;
      require(!result.has_value() || !other.is_honest || was_said, "a call has the result that was said to be its own");
    };
    auto made = detail::make_job<decltype(keep)>(function, argument);
    made->set_receiver(std::move(keep));
    std::unique_ptr<Job> job = std::move(made);
    job->state.id = id;
    require(!worker->queue(job).has_value(), "a small call can be sent");
    worker->flush();
  }

  // What the parent does, and a worker beside its channel.
  void act(std::uint8_t deed, Input& input) {
    const bool takes_calls = owner.is_ready && !worker->dying() && (worker->idle() || worker->has_credit());
    switch (deed) {
      case 0:
        if (takes_calls) call(&fuzz_worker::texts, std::string(as_text(input.piece())));
        return;
      case 1:
        if (takes_calls) call(&fuzz_worker::nothing, 7);
        return;
      case 2: return scribble(input);
      case 3: {
        const auto line = input.piece();
        (void)!::write(standard_error.get(), line.data(), std::min<std::size_t>(line.size(), 4096));
        return;
      }
      case 4:
        for (auto jobs = worker->recall_first(input.number<std::uint8_t>()); !jobs.empty();) end(jobs.pop_front());
        return;
      case 5: return worker->kill();
      case 6: return void(worker->close_idle());
      default: return turn(loop);
    }
  }
  static void end(std::unique_ptr<Job> job) {
    job->fail(Error(Errc::cancelled, "taken back"));
    job->deliver();
  }
  // Anything, anywhere in what the worker says of itself.
  void scribble(Input& input) const {
    auto* const status = reinterpret_cast<std::byte*>(page.operator->());
    const std::size_t at = input.number<std::uint16_t>() % sizeof(detail::WorkerStatus);
    const auto bytes = input.piece();
    if (!bytes.empty()) {
      std::memcpy(status + at, bytes.data(), std::min(bytes.size(), sizeof(detail::WorkerStatus) - at));
    }
  }
  // Its process ends, and whatever it did, everything is told of.
  void die() {
    other.socket.reset();
    ::eventfd_write(death.get(), 1);
    worker->exited(SIGKILL, {});
    require(turn_until(loop, [&] { return owner.is_gone; }), "a worker that is dead is gone");
    for (auto jobs = worker->take_jobs(); !jobs.empty();) end(jobs.pop_front());
    require(ended == called, "each call ends once");
  }

  detail::LoopCore& loop = *shared_loop();
  std::size_t own_operations = loop.engine().in_flight();
  Owner owner;
  detail::UniqueFd death{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  detail::UniqueFd standard_error;
  detail::StatusPage page;
  std::uint64_t called = 0;
  std::uint64_t ended = 0;
  std::shared_ptr<Worker> worker;
  HostileEnd other;
};

void run(std::span<const std::byte> bytes) {
  Input input(bytes);
  Stage stage(input.number<std::uint8_t>() % 2 == 0);
  for (std::size_t deeds = 0; deeds < kMaxDeeds && !input.empty(); ++deeds) {
    const auto deed = input.number<std::uint8_t>() % (HostileEnd::kDeeds + 8);
    deed < HostileEnd::kDeeds ? stage.other.act(static_cast<std::uint8_t>(deed), input)
                              : stage.act(static_cast<std::uint8_t>(deed - HostileEnd::kDeeds), input);
  }
  stage.die();
}

std::vector<Bytes> make_seeds() {
  std::vector<Bytes> seeds;
  const auto frame = [&seeds](FrameType type, std::uint8_t id, std::span<const std::byte> payload) {
    put_number(seeds.back(), std::uint8_t{1});
    put_number(seeds.back(), static_cast<std::uint8_t>(std::to_underlying(type) - 1));
    put_number(seeds.back(), id);
    put_number(seeds.back(), std::uint8_t{0});
    put_piece(seeds.back(), payload);
  };
  const auto stage = [&seeds](std::uint8_t deed) {
    put_number(seeds.back(), static_cast<std::uint8_t>(HostileEnd::kDeeds + deed));
  };
  Bytes value;
  detail::ByteWriter writer(value, SIZE_MAX / 2);
  detail::DescriptorWriter none;
  detail::encode(writer, none, std::vector<std::string>{"one", "two"});
  Bytes exception;
  try {
    throw std::out_of_range("beyond");
  } catch (...) {
    detail::encode_current_exception(exception, detail::report_limit(0));
  }
  Bytes failure;
  detail::encode_failure(failure, Errc::bad_payload, "cannot be decoded");
  for (const std::uint8_t sockets_alone : {std::uint8_t{0}, std::uint8_t{1}}) {
    put_number(seeds.emplace_back(), sockets_alone);
    frame(FrameType::hello, 0, {});
    stage(7);
    stage(7);
    for (int i = 0; i < 3; ++i) {
      stage(0);
      put_piece(seeds.back(), as_bytes("text"));
    }
    stage(1);
    frame(FrameType::value, 1, value.view());
    frame(FrameType::exception, 2, exception.view());
    stage(7);
    frame(FrameType::failure, 3, failure.view());
    frame(FrameType::value, 4, {});
    stage(3);
    put_piece(seeds.back(), as_bytes("a line\nand one more"));
    stage(7);
    stage(7);
  }
  put_number(seeds.emplace_back(), std::uint8_t{0});
  frame(FrameType::failure, 0, failure.view());
  stage(7);
  put_number(seeds.emplace_back(), std::uint8_t{0});
  frame(FrameType::hello, 0, {});
  stage(7);
  stage(1);
  stage(1);
  stage(2);
  put_number(seeds.back(), std::uint16_t{0});
  put_number(seeds.back(), std::uint16_t{8});
  put_number(seeds.back(), std::uint64_t{1});
  stage(4);
  put_number(seeds.back(), std::uint8_t{5});
  stage(5);
  return seeds;
}

}  // namespace
}  // namespace worker_target

constinit const Target kWorker{
    .name = "worker", .max_size = 4096, .run = worker_target::run, .make_seeds = worker_target::make_seeds};

}  // namespace leasepool::fuzz
