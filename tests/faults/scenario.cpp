// One use of all that the library does. Each step notes what failed and goes on with the next.
#include "scenario.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <numeric>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <utility>

#include "family.hpp"
#include "functions.hpp"
#include "io_scenario.hpp"
#include "shared.hpp"
#include "where_it_ends.hpp"

namespace faults {

namespace {

namespace lp = leasepool;
using namespace std::chrono_literals;

// Long enough for all that is not refused, short enough that all of them together are less than the supervisor waits.
constexpr auto kLongEnough = 2s;

// Open in the program, and inherited by what it forks.
constexpr int kOurDescriptor = 200;

constexpr auto kBackends = std::to_array<Backend>({
    {.name = "threads", .processes = false, .shared_memory = true, .sandboxed = false, .with_files = false},
    {.name = "processes", .processes = true, .shared_memory = true, .sandboxed = false, .with_files = false},
    {.name = "sockets", .processes = true, .shared_memory = false, .sandboxed = false, .with_files = false},
    {.name = "sandboxed", .processes = true, .shared_memory = true, .sandboxed = true, .with_files = false},
    {.name = "files", .processes = true, .shared_memory = true, .sandboxed = true, .with_files = true},
    {.name = "io", .processes = false, .shared_memory = true, .sandboxed = false, .with_files = false, .io = true},
    {.name = "epoll",
     .processes = true,
     .shared_memory = false,
     .sandboxed = false,
     .with_files = false,
     .on_epoll = true},
    {.name = "io_epoll",
     .processes = false,
     .shared_memory = true,
     .sandboxed = false,
     .with_files = false,
     .io = true,
     .on_epoll = true},
    {.name = "clean", .processes = true, .shared_memory = true, .sandboxed = false, .with_files = false, .clean = true},
#ifdef LEASEPOOL_TEST_REMOTE
    {.name = "remote",
     .processes = true,
     .shared_memory = true,
     .sandboxed = false,
     .with_files = false,
     .remote = true},
#endif
});
bool second_time = false;

// No allocation and no system call in what notes.
void note(const char* step, std::string_view what) noexcept {
  const auto add_to = [&](auto& text) {
    for (const std::string_view part :
         {std::string_view(step), std::string_view(": "), what, std::string_view(" | ")}) {
      text.add(part);
    }
  };
  second_time ? add_to(shared()->second_failures) : add_to(shared()->failures);
}

void wrong(const char* step, std::string_view what) noexcept {
  for (const std::string_view part : {std::string_view(step), std::string_view(": "), what, std::string_view(" | ")}) {
    shared()->wrong.add(part);
  }
}

// Each failure must be one of the library's, the system's, or of memory.
void note_failure(const char* step, const std::exception& thrown) noexcept {
  note(step, thrown.what());
  if (const auto* const error = dynamic_cast<const std::system_error*>(&thrown)) {
    if (error->code() == lp::Errc::timed_out) shared()->late.add(std::string_view(step)), shared()->late.add(" ");
  } else if (dynamic_cast<const std::bad_alloc*>(&thrown) == nullptr) {
    wrong(step, "an exception that is neither a std::system_error nor a std::bad_alloc");
  }
}

// Where it was, should it hang.
void begin(const char* step) noexcept {
  shared()->log.add("-- ");
  shared()->log.add(step);
  shared()->log.add("\n");
}

lp::Task<> attempt(const char* step, lp::Task<> body) {
  begin(step);
  try {
    co_await std::move(body);
  } catch (const std::exception& thrown) {
    note_failure(step, thrown);
  }
}

// For what fails even where nothing is refused.
lp::Task<> attempt_to_fail(const char* step, lp::Errc expected, lp::Task<> body) {
  begin(step);
  try {
    co_await std::move(body);
    wrong(step, "did not fail");
  } catch (const std::system_error& thrown) {
    if (thrown.code() != expected) note_failure(step, thrown);
  } catch (const std::exception& thrown) {
    note_failure(step, thrown);
  }
}

lp::LeaseCalls in_time(const lp::ExecutorLease& lease) { return lease.with({.timeout = kLongEnough}); }

lp::Task<> call_small(const lp::ExecutorLease& lease) {
  auto call = in_time(lease).run(upper, std::string("abc"));
  if (co_await call != "ABC") wrong("small call", "another result");
}

lp::Task<> call_large(const lp::ExecutorLease& lease) {
  std::vector<int> numbers(100'000);
  std::iota(numbers.begin(), numbers.end(), 0);
  auto call = in_time(lease).run(echo, numbers);
  if (co_await call != numbers) wrong("large call", "another result");
}

lp::Task<> call_with_shared_memory(const lp::ExecutorLease& lease) {
  lp::SharedBuffer buffer(8192);
  buffer.bytes()[4097] = std::byte{7};
  auto call = in_time(lease).run(byte_at, std::move(buffer), 4097);
  if (co_await call != 7) wrong("shared memory", "another byte");
}

lp::Fd open_pipe_end(int& other) {
  const ForOurselves unrefused;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "the scenario's pipe");
  other = ends[0];
  return lp::Fd(ends[1]);
}

lp::Task<> call_with_descriptor(const lp::ExecutorLease& lease) {
  int other = -1;
  lp::Fd end = open_pipe_end(other);
  const lp::Fd read_end(other);
  auto call = in_time(lease).run(pass, std::move(end));
  const lp::Fd back = co_await call;
  const ForOurselves unrefused;
  char byte = 'x';
  if (::write(back.get(), &byte, 1) != 1 || ::read(read_end.get(), &byte, 1) != 1) wrong("descriptor", "another file");
}

// What a worker must not have, whatever was refused to those that made it.
lp::Task<> call_that_looks_around(const lp::ExecutorLease& lease, bool sandboxed) {
  auto inherited = in_time(lease).run(has_descriptor, kOurDescriptor);
  if (co_await inherited) wrong("isolation", "a worker has a descriptor of the program's");
  if (!sandboxed) co_return;
  auto outside = in_time(lease).run(can_read, std::string("/etc/passwd"));
  if (co_await outside) wrong("isolation", "a function reads what its sandbox does not let it");
}

lp::Task<> call_that_throws(const lp::ExecutorLease& lease) {
  auto call = in_time(lease).run(fail, 7);
  try {
    co_await call;
    wrong("exception", "none came");
  } catch (const std::out_of_range& thrown) {
    if (thrown.what() != std::string_view("number 7")) wrong("exception", thrown.what());
  }
}

lp::Task<> call_that_crashes(const lp::ExecutorLease& lease) {
  auto call = in_time(lease).run(crash, 1);
  co_await call;
}

// Not slower than it takes to be sure of that on a busy machine: a thread is waited for.
// However late the loop looks, the function has not ended: a thread's ends when its call has timed out, a process is
// killed.
lp::Task<> call_that_is_too_slow(const lp::ExecutorLease& lease, bool processes) {
  if (processes) {
    auto call = lease.with({.timeout = 10ms}).run(nap, 3000);
    co_await call;
  } else {
    auto call = lease.with({.timeout = 10ms}).run(nap_until, 3000);
    co_await call;
  }
}

lp::Task<> call_that_is_cancelled(lp::Loop& loop, const lp::ExecutorLease& lease, bool processes) {
  std::stop_source source;
  const lp::Timer timer = loop.call_after(10ms, [&source] { source.request_stop(); });
  if (processes) {
    auto call = lease.with(source.get_token()).run(nap, 3000);
    co_await call;
  } else {
    auto call = lease.with(source.get_token()).run(nap_until, 3000);
    co_await call;
    throw lp::LeasePoolError(lp::Errc::cancelled, "the function saw its token");
  }
}

lp::Task<lp::ExecutorLease> acquire(lp::LeasedExecutorManager& manager) {
  auto acquired = manager.acquire({.owner = "faults", .timeout = kLongEnough});
  co_return co_await acquired;
}

lp::Task<> first_lease(lp::Loop& loop, lp::LeasedExecutorManager& manager, const Backend& backend) {
  lp::ExecutorLease lease = co_await acquire(manager);
  for (int i = 0; i < 3; ++i) co_await attempt("small call", call_small(lease));
  co_await attempt("large call", call_large(lease));
  if (backend.remote) {
    co_await attempt_to_fail("shared memory", lp::Errc::not_serializable, call_with_shared_memory(lease));
    co_await attempt_to_fail("descriptor", lp::Errc::not_serializable, call_with_descriptor(lease));
  } else {
    co_await attempt("shared memory", call_with_shared_memory(lease));
    co_await attempt("descriptor", call_with_descriptor(lease));
  }
  co_await attempt("exception", call_that_throws(lease));
  if (backend.processes) co_await attempt("isolation", call_that_looks_around(lease, backend.sandboxed));
  if (backend.processes) co_await attempt_to_fail("crash", lp::Errc::worker_crashed, call_that_crashes(lease));
  co_await attempt("after the crash", call_small(lease));
  co_await attempt_to_fail("time-out", lp::Errc::timed_out, call_that_is_too_slow(lease, backend.processes));
  co_await attempt_to_fail("cancellation", lp::Errc::cancelled, call_that_is_cancelled(loop, lease, backend.processes));
  co_await attempt("last call", call_small(lease));
  lease.release();
}

lp::Task<> grind(lp::LeasedExecutorManager& manager) {
  lp::WorkGrinder grinder(manager, {.batch_size_threshold = 4, .max_wait = 20ms});
  co_await grinder.start();
  std::vector<lp::Pending<std::string>> items;
  for (int i = 0; i < 6; ++i)
    items.push_back(grinder.with({.timeout = kLongEnough}).enqueue(upper, std::string("item")));
  for (auto& item : items) {
    begin("item");
    try {
      if (co_await item != "ITEM") wrong("item", "another result");
    } catch (const std::exception& thrown) {
      note_failure("item", thrown);
    }
  }
  co_await grinder.stop();
}

lp::Task<> second_lease(lp::LeasedExecutorManager& manager, const Backend& backend) {
  const lp::ExecutorLease lease = co_await acquire(manager);
  co_await attempt("second lease's call", call_small(lease));
  if (!backend.processes) co_return;
  co_await attempt_to_fail("second crash", lp::Errc::worker_crashed, call_that_crashes(lease));
  co_await attempt("after the second crash", call_large(lease));
}

lp::Task<> start(lp::LeasedExecutorManager& manager, bool& started) {
  co_await manager.start();
  started = true;
}

lp::Task<> stop(lp::LeasedExecutorManager& manager) { co_await manager.stop(); }

lp::ManagerOptions options_of_pools(const Backend& backend) {
  lp::ManagerOptions options;
  options.backend = backend.processes ? lp::ExecutorBackend::process : lp::ExecutorBackend::thread;
  options.max_pools = 1;
  options.workers_per_pool = 2;
  options.name_prefix = kWorkerName;
  options.stop_timeout = 1s;
  options.worker_start_timeout = kLongEnough;
  options.shared_memory = backend.shared_memory;
  if (backend.clean) options.worker_reuse = lp::WorkerReuse::lease;
  if (backend.processes) options.worker_limits = {.cpu_time = 60s, .niceness = 1};
  if (backend.with_files) {
    options.sandbox = lp::Sandbox::files({"/usr"}, {});
  } else if (backend.sandboxed) {
    options.sandbox = lp::Sandbox::compute();
  }
  options.log = [](const lp::LogRecord& record) {
    shared()->log.add(record.text);
    shared()->log.add("\n");
  };
  return options;
}

#ifdef LEASEPOOL_TEST_REMOTE
lp::RemoteOptions remote_options() {
  lp::RemoteOptions options;
  options.servers = std::getenv(kNatsVariable);  // NOLINT(concurrency-mt-unsafe): nobody sets it
  options.cluster = "faults" + std::to_string(::getpid());
  options.heartbeat = 50ms;
  options.reconnect_grace = 300ms;
  options.node_timeout = 1s;
  return options;
}

lp::Task<> start(lp::Node& node, bool& started) {
  co_await node.start();
  started = true;
}

lp::Task<> stop(lp::Node& node) { co_await node.stop(true); }
#endif

lp::ManagerOptions options_for(const Backend& backend) {
  lp::ManagerOptions options = options_of_pools(backend);
#ifdef LEASEPOOL_TEST_REMOTE
  if (backend.remote) {
    options.backend = lp::ExecutorBackend::remote;
    options.min_pools = 0;
    options.worker_limits = {};
    options.remote = remote_options();
  }
#endif
  return options;
}

// All processes of this run but this one: what a process leaves that ends goes to the supervisor.
std::vector<Process> other_processes() {
  std::vector<Process> family = descendants_of(::getppid());
  std::erase_if(family, [](const Process& process) { return process.id == ::getpid(); });
  return family;
}

// The one that has the workers; the reserve takes over, which may still have to be made where that was refused.
void kill_fork_server() {
  const ForOurselves unrefused;
  const auto is_server = [](const Process& process) { return process.name == kServerName && !process.is_zombie; };
  for (int tries = 0; tries < 50 && std::ranges::count_if(other_processes(), is_server) < 2; ++tries) {
    std::this_thread::sleep_for(10ms);
  }
  for (const Process& worker : other_processes()) {
    if (!worker.name.starts_with(kWorkerName)) continue;
    if (process_of(worker.parent).name == kServerName) ::kill(worker.parent, SIGKILL);
    return;
  }
}

lp::Task<> use_manager(lp::Loop& loop, const Backend& backend) {
  lp::LeasedExecutorManager manager(loop, options_for(backend));
  bool started = false;
  co_await attempt("start", start(manager, started));
  if (!started) co_return;
  co_await attempt("first lease", first_lease(loop, manager, backend));
  co_await attempt("grinder", grind(manager));
  if (backend.processes) kill_fork_server();
  co_await attempt("second lease", second_lease(manager, backend));
  co_await attempt("stop", stop(manager));
}

// On a node, where the backend is one, that lends to a manager of the same loop.
lp::Task<> use_everything(lp::Loop& loop, const Backend& backend) {
#ifdef LEASEPOOL_TEST_REMOTE
  if (backend.remote) {
    lp::Node node(loop, remote_options(), options_of_pools(backend));
    bool started = false;
    co_await attempt("start of the node", start(node, started));
    if (started) co_await use_manager(loop, backend);
    if (started) co_await attempt("stop of the node", stop(node));
    co_return;
  }
#endif
  co_await use_manager(loop, backend);
}

// The loop driven by poll() of ours: the descriptor must show that a post came.
void drive_from_outside(lp::LoopOptions options) {
  lp::Loop loop(options);
  bool came = false;
  pollfd readable{.fd = loop.poll_fd(), .events = POLLIN, .revents = 0};
  loop.dispatch();
  std::jthread poster([&] {
    for (bool posted = false; !posted;) {
      try {
        loop.post([&came] { came = true; });
        posted = true;
      } catch (const std::bad_alloc&) {
        note("post", "bad_alloc");
      }
    }
  });
  for (int turns = 0; !came && turns < 200; ++turns) {
    {
      const ForOurselves unrefused;
      ::poll(&readable, 1, 10);
    }
    loop.dispatch();
  }
  if (!came) note("poll_fd", "the post did not come"), shared()->late.add("poll_fd ");
}

template <class Function>
void at_top(const char* step, Function function) {
  begin(step);
  try {
    function();
  } catch (const std::exception& thrown) {
    note_failure(step, thrown);
  }
}

lp::LoopOptions loop_options_for(const Backend& backend) {
  return {.engine = backend.on_epoll ? lp::LoopEngine::epoll : lp::LoopEngine::automatic};
}

void go_through(const Backend& backend) {
  if (backend.processes) at_top("init", [] { lp::init(); });
  at_top("loop", [&backend] {
    lp::Loop loop(loop_options_for(backend));
    loop.block_on(backend.io ? use_io(loop, &attempt) : use_everything(loop, backend));
  });
  at_top("loop driven from outside", [&backend] { drive_from_outside(loop_options_for(backend)); });
}

// Some are closed by a thread in the background: until there are as many as there should be, or, where that is to be
// found out, as long as their number changes.
int count_open_descriptors() {
  constexpr int kStays = 5;
  int open = -1;
  for (int tries = 0, stayed = 0; tries < 300; ++tries) {
    int now = 0;
    for (int fd = 0; fd < 1024; ++fd) now += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    stayed = std::exchange(open, now) == now ? stayed + 1 : 0;
    if (open == shared()->expected_descriptors) break;
    if (shared()->expected_descriptors < 0 && stayed == kStays) break;
    std::this_thread::sleep_for(10ms);
  }
  return open;
}

// Workers are killed without waiting for their ends, and a fork server that was given up ends by itself; a zombie of
// ours would stay.
int count_processes() {
  int left = 0;
  for (int tries = 0; tries < 200; ++tries) {
    const std::vector<Process> family = other_processes();
    left = static_cast<int>(family.size());
    bool some_end = shared()->expected_processes >= 0 && left > shared()->expected_processes;
    for (const Process& process : family) some_end |= process.name != kServerName || process.is_zombie;
    if (!some_end) break;
    std::this_thread::sleep_for(10ms);
  }
  return left;
}

}  // namespace

std::span<const Backend> backends() noexcept { return kBackends; }

const Backend& backend_of(std::string_view name) {
  for (const Backend& backend : kBackends) {
    if (backend.name == name) return backend;
  }
  throw std::invalid_argument("no backend is called " + std::string(name));
}

int run_scenario(std::string_view backend) {
  open_shared();
  shared()->parent = ::getpid();
  const Backend& on = backend_of(backend);
  show_where_it_ends();
  ::dup2(STDERR_FILENO, kOurDescriptor);
  arm(*shared(), true);
  go_through(on);
  arm(*shared(), false);
  second_time = true;
  go_through(on);
  shared()->processes = count_processes();
  shared()->open_descriptors = count_open_descriptors();
  shared()->finished = true;
  return 0;
}

}  // namespace faults
