// The parent's view of a worker, with the test in the worker's place: every order in which its frames, its death and
// the report of it can come.
#include "processes/worker.hpp"
#include "leasepool/detail/access.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "support/socket_pair.hpp"
#include "support/temporary_directory.hpp"
#include "wire/frame.hpp"

using namespace leasepool;
using namespace std::chrono_literals;
using leasepool::detail::begin_frame;
using leasepool::detail::Bytes;
using leasepool::detail::finish_frame;
using leasepool::detail::FrameType;
using leasepool::detail::Job;
using leasepool::detail::StatusPage;
using leasepool::detail::UniqueFd;
using leasepool::detail::Worker;
using leasepool::test::Call;

namespace {

// Notes what it is told.
class EventOwner final : public detail::WorkerOwner {
 public:
  void worker_ready(Worker&) override { events.emplace_back("ready"); }
  void worker_finished(Worker&, std::unique_ptr<Job> job) override {
    events.emplace_back("finished");
    job->deliver();
  }
  std::shared_ptr<detail::Decoding> prepare_decoding(const Worker&, const Job&,
                                                     const detail::Frame&) noexcept override {
    return nullptr;
  }
  std::unique_ptr<Job> begin_decoding(const std::shared_ptr<detail::Decoding>&,
                                      std::unique_ptr<Job> job) noexcept override {
    return job;
  }
  void worker_dying(Worker&) override { events.emplace_back("dying"); }
  bool takes_line(std::size_t) const override { return true; }
  void worker_printed(LogRecord record) override { printed.emplace_back(record); }
  void worker_dropped_lines(std::uint64_t) override {}
  void may_not_kill(Worker&) noexcept override { events.emplace_back("may not kill"); }
  void worker_gone(Worker& worker, std::unique_ptr<Job> job) override {
    events.emplace_back("gone");
    end = worker.describe_end();
    if (job) begun = worker.had_begun(*job);
    left = std::move(job);
  }
  [[nodiscard]] bool is(const std::vector<std::string>& expected) const { return events == expected; }

  std::vector<std::string> events;
  std::vector<test::LoggedRecord> printed;
  std::string end;
  bool begun = false;
  std::unique_ptr<Job> left;
};

// Stands where a lease of that owner would.
class OwnersLease final : public detail::JobSink {
 public:
  explicit OwnersLease(std::string owner) : owner_(std::move(owner)) {}
  void job_started(std::uint64_t, TimePoint) override {}
  void job_ended(std::unique_ptr<Job>) override {}
  [[nodiscard]] std::string_view lease_owner() const noexcept override { return owner_; }

 private:
  const std::string owner_;
};

// A worker whose process is an idle child of this one, and whose channel and status page are in the test's hands.
struct Fixture {
  Fixture() {
    detail::SpawnRequest request = worker->prepare(nullptr);
    channel = std::move(request.channel);
    standard_error = std::move(request.standard_error);
    page = StatusPage::map(request.status_page.get());
    child = ::fork();
    if (child == 0) {
      ::syscall(SYS_close_range, 3U, ~0U, 0U);  // the channel must not be held open by it
      for (;;) ::pause();
    }
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;
  ~Fixture() {
    worker->detach();
    kill_child();
  }

  void spawned() {
    worker->spawned({.pid = child, .pidfd = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)))});
  }
  void send(FrameType type, std::uint64_t call_id = 0, std::string_view payload = {}) const {
    Bytes frame = begin_frame();
    frame.append(payload.data(), payload.size());
    finish_frame(frame, type, call_id, 0);
    CHECK(test::send_all(channel.get(), frame.view()));
  }
  void send_value(std::int64_t value) const {
    send(FrameType::value, 5, {reinterpret_cast<const char*>(&value), sizeof value});
  }
  // add(1, 2) as call 5.
  std::shared_ptr<Call<std::int64_t>> run() {
    std::shared_ptr<Call<std::int64_t>> call;
    auto job = test::make_test_job(call, pool_functions::add, 1, 2);
    job->state.id = 5;
    CHECK_FALSE(worker->queue(job).has_value());
    worker->flush();
    return call;
  }
  // A call of an owner's lease.
  template <class F, class... A>
  void run_for(const std::string& leaseholder, std::uint64_t call_id, F function, A... arguments) {
    std::shared_ptr<Call<detail::CallResult<F, A...>>> call;
    auto job = test::make_test_job(call, function, arguments...);
    job->state.id = call_id;
    job->state.lease = std::make_shared<OwnersLease>(leaseholder);
    CHECK_FALSE(worker->queue(job).has_value());
    worker->flush();
  }
  // What is made of a line that the worker logs, as it says in that call and so long after the epoch.
  const test::LoggedRecord& logged(std::uint64_t call_id, std::chrono::nanoseconds time = {}) {
    char line[64];
    const int size = std::snprintf(line, sizeof line, "\x1e%d%016" PRIx64 "%016" PRIx64 "text\n", 1, call_id,
                                   static_cast<std::uint64_t>(time.count()));
    CHECK(::write(standard_error.get(), line, static_cast<std::size_t>(size)) == size);
    const std::size_t before = owner.printed.size();
    REQUIRE(test::run_until(loop, [&] { return owner.printed.size() == before + 1; }));
    return owner.printed.back();
  }
  std::string owner_of_logged(std::uint64_t call_id) {
    const test::LoggedRecord& line = logged(call_id);
    return line.owner + ": " + line.function;
  }
  // Ready and given a job.
  std::shared_ptr<Call<std::int64_t>> begin() {
    spawned();
    send(FrameType::hello);
    REQUIRE(until({"ready"}));
    return run();
  }
  void kill_child() {
    if (child == 0) return;
    ::kill(child, SIGKILL);
    ::waitpid(std::exchange(child, 0), nullptr, 0);
  }
  [[nodiscard]] bool is(const std::vector<std::string>& events) const { return owner.is(events); }
  bool until(const std::vector<std::string>& events) {
    return test::run_until(loop, [&] { return owner.is(events); });
  }

  static detail::PoolOptions options() {
    detail::PoolOptions options;
    options.max_payload = 1000;
    options.shared_memory = false;  // the socket is what this test holds the other end of
    return options;
  }

  Loop loop;
  EventOwner owner;
  std::shared_ptr<Worker> worker = std::make_shared<Worker>(*leasepool::detail::Access::core(loop), owner, 1, options(),
                                                            std::make_shared<detail::RunTimes>());
  UniqueFd channel;
  UniqueFd standard_error;
  StatusPage page;
  pid_t child = 0;
};

}  // namespace

TEST_CASE("a worker is ready when it has said hello and is known as a process", "[worker_view]") {
  Fixture fixture;
  fixture.send(FrameType::hello);
  for (int i = 0; i < 3; ++i) test::turn(fixture.loop);
  CHECK(fixture.is({}));  // should it hang now, there was nothing to kill it by
  fixture.spawned();
  CHECK(fixture.until({"ready"}));
  const auto call = fixture.run();
  fixture.send_value(3);
  CHECK(fixture.until({"ready", "finished"}));
  CHECK(call->result->value() == 3);
}

TEST_CASE("an outcome that was sent before the death counts, in whatever order the two are seen", "[worker_view][W2]") {
  Fixture fixture;
  const auto call = fixture.begin();
  fixture.send_value(3);
  fixture.kill_child();  // both are there when the loop looks next
  fixture.channel.reset();
  CHECK(fixture.until({"ready", "finished", "dying"}));
  CHECK(call->result->value() == 3);
  fixture.worker->exited(SIGKILL, {});
  CHECK(fixture.until({"ready", "finished", "dying", "gone"}));
  CHECK(fixture.owner.left == nullptr);
}

TEST_CASE("the report of the end may come before the death is seen", "[worker_view]") {
  Fixture fixture;
  const auto call = fixture.begin();
  fixture.page->begun = 5;
  fixture.worker->exited(3 << 8, {});
  test::turn(fixture.loop);
  CHECK(fixture.owner.is({"ready"}));
  fixture.kill_child();
  fixture.channel.reset();
  CHECK(fixture.until({"ready", "dying", "gone"}));
  CHECK_THAT(fixture.owner.end, ContainsSubstring("exited with code 3"));
  CHECK(fixture.owner.begun);
}

TEST_CASE("a worker that had not begun its job says so when it is gone", "[worker_view][W2]") {
  Fixture fixture;
  const auto call = fixture.begin();
  fixture.page->begun = 4;
  fixture.page->ended = 4;
  fixture.kill_child();
  fixture.worker->exited(SIGKILL, {});
  CHECK(fixture.until({"ready", "dying", "gone"}));
  CHECK_FALSE(fixture.owner.begun);
  CHECK(fixture.owner.left != nullptr);
}

TEST_CASE("a death that is never reported is given up for after a while", "[worker_view][W6]") {
  Fixture fixture;
  const auto call = fixture.begin();
  fixture.kill_child();
  CHECK(fixture.until({"ready", "dying", "gone"}));
  CHECK_THAT(fixture.owner.end, ContainsSubstring("how is not known"));
}

TEST_CASE("a channel that somebody else holds open does not hide a death", "[worker_view]") {
  Fixture fixture;
  const UniqueFd held(::dup(fixture.channel.get()));  // as a process that the function forked would
  const auto call = fixture.begin();
  fixture.kill_child();
  fixture.channel.reset();
  fixture.worker->exited(SIGKILL, {});
  CHECK(fixture.until({"ready", "dying", "gone"}));
}

TEST_CASE("a worker that closes its channel and lives is killed", "[worker_view][W7]") {
  Fixture fixture;
  const auto call = fixture.begin();
  fixture.channel.reset();
  fixture.worker->exited(SIGKILL, {});
  CHECK(fixture.until({"ready", "dying", "gone"}));
  CHECK_THAT(fixture.owner.end, ContainsSubstring("closed its channel"));
}

TEST_CASE("nothing that comes behind a lie is believed", "[worker_view][W7]") {
  Fixture fixture;
  const auto call = fixture.begin();
  fixture.send(FrameType::value, 6);
  fixture.send_value(3);  // would have been right
  fixture.worker->exited(SIGKILL, {});
  CHECK(fixture.until({"ready", "dying", "gone"}));
  CHECK_FALSE(call->ended());
  CHECK(fixture.owner.left != nullptr);
  CHECK_THAT(fixture.owner.end, ContainsSubstring("an outcome of a call it does not run"));
}

TEST_CASE("a worker may lie before it is known as a process", "[worker_view][W7]") {
  Fixture fixture;
  fixture.send(FrameType::value, 1);
  CHECK(fixture.until({"dying"}));
  fixture.spawned();
  fixture.worker->exited(SIGKILL, {});
  CHECK(fixture.until({"dying", "gone"}));
}

TEST_CASE("a worker that was not spawned is gone, with the reason", "[worker_view][L4]") {
  Fixture fixture;
  fixture.channel.reset();
  fixture.worker->not_spawned("no more processes");
  CHECK(fixture.until({"dying", "gone"}));
  CHECK(fixture.owner.end == "no more processes");
}

TEST_CASE("a worker that was killed before it was spawned is killed then", "[worker_view]") {
  Fixture fixture;
  fixture.worker->kill();
  fixture.spawned();
  fixture.worker->exited(SIGKILL, {});
  CHECK(fixture.until({"gone"}));
  CHECK(fixture.worker->ended_by_us());
}

TEST_CASE("a job whose outcome is no longer wanted can be taken from a worker", "[worker_view][E6]") {
  Fixture fixture;
  const auto call = fixture.begin();
  const std::unique_ptr<Job> taken = fixture.worker->take_job(*fixture.worker->job());
  REQUIRE(taken != nullptr);
  fixture.worker->kill();
  fixture.send_value(3);  // too late
  fixture.worker->exited(SIGKILL, {});
  CHECK(fixture.until({"ready", "gone"}));
  CHECK_FALSE(call->ended());
  CHECK(fixture.owner.left == nullptr);
}

TEST_CASE("what is logged is of the call that its worker says, if that was sent to it lately", "[worker_view]") {
  const std::string first = "first: pool_functions::add";
  const std::string second = "second: pool_functions::nothing";
  Fixture fixture;
  fixture.spawned();
  fixture.send(FrameType::hello);
  REQUIRE(fixture.until({"ready"}));
  fixture.run_for("first", 5, pool_functions::add, 1, 2);
  fixture.run_for("second", 6, pool_functions::nothing);
  CHECK(fixture.owner_of_logged(5) == first);
  CHECK(fixture.owner_of_logged(6) == second);  // the outcome before it is still to come
  CHECK(fixture.owner_of_logged(7) == first);   // no call of this worker: the one that runs, as far as is known
  fixture.send_value(3);
  REQUIRE(fixture.until({"ready", "finished"}));
  CHECK(fixture.owner_of_logged(5) == first);
  CHECK(fixture.owner_of_logged(7) == second);
  const auto taken = fixture.worker->take_job(*fixture.worker->job());
  CHECK(fixture.owner_of_logged(6) == second);
  CHECK(fixture.owner_of_logged(7) == second);
  CHECK(fixture.owner_of_logged(5) == first);
}

TEST_CASE("the time at which something was logged is believed where there was a worker", "[worker_view]") {
  using std::chrono::system_clock;
  const auto before = system_clock::now();
  Fixture fixture;
  const auto time_of_logged = [&](system_clock::time_point said) {
    return fixture.logged(0, said.time_since_epoch()).record.time;
  };
  const auto now = system_clock::now();
  CHECK((time_of_logged(now) == now));
  CHECK((time_of_logged(before - 1h) >= now));
  const auto of_the_future = time_of_logged(now + 1h);
  CHECK((of_the_future <= system_clock::now()));
  CHECK((time_of_logged({}) >= now));
  CHECK((time_of_logged(system_clock::time_point::max()) >= now));
  CHECK((time_of_logged(system_clock::time_point::min()) >= now));
}

TEST_CASE("of a worker's calls the last are remembered", "[worker_view]") {
  detail::RecentCalls recent;
  CHECK(recent.last().owner().empty());
  CHECK(recent.find(0) == nullptr);
  constexpr std::uint64_t kMax = detail::RecentCalls::kMax;
  for (std::uint64_t id = 1; id <= kMax + 1; ++id) recent.add(id, 2 * id, id <= kMax / 2 ? "one" : "other");
  CHECK(recent.find(1) == nullptr);
  REQUIRE(recent.find(2) != nullptr);
  CHECK(recent.find(2)->function == 4);
  CHECK(recent.find(2)->owner() == "one");
  CHECK(recent.find(kMax / 2)->owner() == "one");
  CHECK(recent.find(kMax / 2 + 1)->owner() == "other");
  CHECK(recent.last().id == kMax + 1);
  CHECK(recent.find(kMax + 2) == nullptr);
}

TEST_CASE("a worker that the kernel killed for want of memory says so, one that ended otherwise does not",
          "[worker_view][W1]") {
  const test::TemporaryDirectory directory;
  const auto delegated =
      std::make_shared<const UniqueFd>(::open(directory.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto end_with = [&](const std::string& events, int wait_status) {
    Loop loop;
    EventOwner owner;
    const auto worker = std::make_shared<Worker>(*leasepool::detail::Access::core(loop), owner, 1, Fixture::options(),
                                                 std::make_shared<detail::RunTimes>());
    (void)worker->prepare(delegated);
    const std::string cgroup = directory / ("leasepool-" + std::to_string(::getpid()) + "-1");
    std::ofstream(cgroup + "/memory.events") << events;
    worker->exited(wait_status, {});
    worker->kill();
    worker->forget();
    worker->detach();
    std::filesystem::remove_all(cgroup);
    return owner.end;
  };
  const std::string none = "low 0\nhigh 0\nmax 3\noom 0\noom_kill 0\noom_group_kill 0\n";
  const std::string one = "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n";
  CHECK_THAT(end_with(one, SIGKILL), ContainsSubstring("SIGKILL") && ContainsSubstring("ran out of memory"));
  CHECK_THAT(end_with(none, SIGKILL), !ContainsSubstring("ran out of memory"));
  CHECK_THAT(end_with("", SIGKILL), !ContainsSubstring("ran out of memory"));
  CHECK_THAT(end_with(one, 3 << 8), !ContainsSubstring("ran out of memory"));  // what it had started was killed
}

TEST_CASE("workers draw the memory at which they are replaced from the last tenth below the limit",
          "[worker_view][W9]") {
  constexpr std::uint64_t kLimit = 1'000'000;
  Loop loop;
  EventOwner owner;
  detail::PoolOptions options = Fixture::options();
  options.max_worker_rss = kLimit;
  std::set<std::uint64_t> points;
  for (std::uint64_t id = 1; id <= 8; ++id) {
    const auto worker = std::make_shared<Worker>(*leasepool::detail::Access::core(loop), owner, id, options,
                                                 std::make_shared<detail::RunTimes>());
    const StatusPage page = StatusPage::map(worker->prepare(nullptr).status_page.get());
    const auto is_replaced_at = [&](std::uint64_t bytes) {
      page->resident_memory = bytes;
      return worker->due_for_recycling();
    };
    std::uint64_t kept = 0;
    std::uint64_t replaced = kLimit + 1;
    while (replaced - kept > 1) {
      const std::uint64_t middle = (kept + replaced) / 2;
      (is_replaced_at(middle) ? replaced : kept) = middle;
    }
    CHECK(kept >= kLimit / 10 * 9);
    CHECK(kept <= kLimit);
    points.insert(kept);
    worker->detach();
  }
  CHECK(points.size() > 1);
}

TEST_CASE("a worker that was detached tells nobody anything", "[worker_view]") {
  Fixture fixture;
  const auto call = fixture.begin();
  fixture.worker->detach();
  fixture.kill_child();
  fixture.worker->exited(SIGKILL, {});
  for (int i = 0; i < 10; ++i) test::turn(fixture.loop);
  CHECK(fixture.owner.is({"ready"}));
}

TEST_CASE("calls that are queued together arrive in one piece", "[worker_view]") {
  Fixture fixture;
  fixture.spawned();
  fixture.send(FrameType::hello);
  REQUIRE(fixture.until({"ready"}));
  std::vector<std::shared_ptr<Call<std::int64_t>>> calls;
  for (std::uint64_t id = 1; id <= 20; ++id) {
    auto job = test::make_test_job(calls.emplace_back(), pool_functions::add, 1, 2);
    job->state.id = id;
    REQUIRE_FALSE(fixture.worker->queue(job).has_value());
  }
  CHECK(fixture.worker->jobs_waiting() == 19);
  fixture.worker->flush();
  test::turn(fixture.loop);
  std::array<std::byte, 1U << 16U> bytes{};
  const ssize_t size = ::recv(fixture.channel.get(), bytes.data(), bytes.size(), 0);
  CHECK(size == 20 * static_cast<ssize_t>(detail::kFrameHeaderSize + 2 * sizeof(std::int64_t)));
  // Answered in order, each by itself; another order is a lie.
  const std::int64_t three = 3;
  const std::string_view value{reinterpret_cast<const char*>(&three), sizeof three};
  fixture.send(FrameType::value, 1, value);
  CHECK(fixture.until({"ready", "finished"}));
  CHECK(calls[0]->result->value() == 3);
  CHECK(fixture.worker->jobs_waiting() == 18);
  fixture.send(FrameType::value, 3, value);
  CHECK(fixture.until({"ready", "finished", "dying", "gone"}));
  CHECK_FALSE(calls[2]->ended());
}
