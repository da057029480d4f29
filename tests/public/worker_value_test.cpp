// Contract, section Worker values: an object of each worker, from its initializer to the worker's end.
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "support.hpp"

namespace worker_values {

// Shared with worker processes.
struct Lives {
  std::atomic<int> made;
  std::atomic<int> destroyed;
  std::atomic<int> destroyed_elsewhere;  // than on the thread that made them
  std::atomic<int> destroyed_before_its_user;
  std::atomic<bool> refuse;
};
Lives& lives() {
  static Lives* const mapped = [] {
    void* const memory = ::mmap(nullptr, sizeof(Lives), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    return new (memory) Lives{};
  }();
  return *mapped;
}
const Lives& mapped_before_the_fork_server = lives();

struct Model {
  explicit Model(std::string from) : path(std::move(from)), maker(::gettid()) {
    if (lives().refuse) throw std::runtime_error("no such file: " + path);
    ++lives().made;
  }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  ~Model() {
    if (::gettid() != maker) ++lives().destroyed_elsewhere;
    ++lives().destroyed;
  }
  std::string path;
  int maker;
  int uses = 0;
};

// Made behind the model, destroyed before it.
struct Session {
  explicit Session(Model& of) : model(&of) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() {
    if (&lp::worker_value<Model>() != model || model->path.empty()) ++lives().destroyed_before_its_user;
  }
  Model* model;
};

void load(const std::string& path) {
  auto& model = lp::make_worker_value<Model>(path);
  lp::make_worker_value<Session>(model);
}
void load_twice(const std::string& path) {
  load(path);
  load(path);
}
std::string use() {
  Model& model = lp::worker_value<Model>();
  if (lp::worker_value<Session>().model != &model) return "another model";
  return model.path + ' ' + std::to_string(++model.uses);
}
int maker_past_gate() {
  pass_gate(0);
  return lp::worker_value<Model>().maker;
}
int count() {  // a cache, which the first call makes that wants it
  auto* cache = lp::find_worker_value<std::vector<int>>();
  if (cache == nullptr) cache = &lp::make_worker_value<std::vector<int>>();
  cache->push_back(1);
  return static_cast<int>(cache->size());
}

// Takes its time to end, as a connection does that says goodbye.
struct Slow {
  Slow() { ++lives().made; }
  Slow(const Slow&) = delete;
  Slow& operator=(const Slow&) = delete;
  ~Slow() {
    ::usleep(500'000);
    ++lives().destroyed;
  }
};
void load_slowly() { lp::make_worker_value<Slow>(); }

}  // namespace worker_values

LEASEPOOL_REGISTER(worker_values::load);
LEASEPOOL_REGISTER(worker_values::load_twice);
LEASEPOOL_REGISTER(worker_values::use);
LEASEPOOL_REGISTER(worker_values::maker_past_gate);
LEASEPOOL_REGISTER(worker_values::count);
LEASEPOOL_REGISTER(worker_values::load_slowly);

using worker_values::lives;

namespace {

lp::ManagerOptions options_with(ExecutorBackend backend, lp::Initializer initializer, std::size_t max_pools = 1,
                                std::size_t workers = 2) {
  lives().made = 0;
  lives().destroyed = 0;
  lives().destroyed_elsewhere = 0;
  lives().destroyed_before_its_user = 0;
  lives().refuse = false;
  lp::ManagerOptions options = options_for(backend, max_pools, workers);
  options.initializer = std::move(initializer);
  return options;
}
lp::ManagerOptions with_model(ExecutorBackend backend, std::size_t max_pools = 1, std::size_t workers = 2) {
  return options_with(backend, {worker_values::load, "model.bin"}, max_pools, workers);
}

void check_all_destroyed(int count) {
  CHECK(lives().made == count);
  CHECK(lives().destroyed == count);
  CHECK(lives().destroyed_elsewhere == 0);
  CHECK(lives().destroyed_before_its_user == 0);
}

}  // namespace

TEST_CASE("V1: each worker has the object that its initializer made, and no other's", "[V1]") {
  on_manager(with_model(both_backends()), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    CHECK(lives().made == 2);
    auto lease = co_await manager.acquire();
    for (int i = 0; i < 20; ++i) {
      const std::string used = co_await lease.run(worker_values::use);
      CHECK(used.starts_with("model.bin "));
    }
    std::vector<int> makers;
    for (int i = 0; i < 2; ++i) {
      lease.run_async(worker_values::maker_past_gate, [&](lp::Result<int> maker) { makers.push_back(maker.value()); });
    }
    co_await until_entered(loop, 2);
    open_gate();
    co_await until(loop, [&] { return makers.size() == 2; });
    CHECK(makers[0] != makers[1]);
    CHECK(lives().made == 2);
    CHECK(lives().destroyed == 0);
  });
}

TEST_CASE("V2: stop() ends with the objects destroyed, each on its worker's thread, the last one first", "[V2]") {
  on_manager(with_model(both_backends(), 2, 2), [](Manager& manager) -> lp::Task<> {
    auto first = co_await manager.acquire();
    auto second = co_await manager.acquire();
    const auto got1 = co_await second.run(worker_values::use);
    CHECK(got1 == "model.bin 1");
    CHECK(lives().made == 4);
  });
  check_all_destroyed(4);
}

TEST_CASE("V2: pools that are needed no more destroy theirs, and those that come make theirs", "[V2]") {
  std::size_t units = 1;
  lp::ManagerOptions options = with_model(both_backends(), 3, 1);
  options.units_per_pool = 1;
  options.size_provider = [&] { return units; };
  on_manager(options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    CHECK(lives().made == 1);
    units = 3;
    manager.notify_scale_changed();
    co_await until(loop, [&] { return manager.available_count() == 3; });
    CHECK(lives().made == 3);
    CHECK(lives().destroyed == 0);
    units = 1;
    manager.notify_scale_changed();
    co_await until(loop, [] { return lives().destroyed == 2; });
    auto lease = co_await manager.acquire();
    const auto got2 = co_await lease.run(worker_values::use);
    CHECK(got2 == "model.bin 1");
  });
  check_all_destroyed(3);
}

TEST_CASE("V2: a process that is replaced by its calls destroys its object, and one that dies does not", "[V2]") {
  lp::ManagerOptions options = with_model(ExecutorBackend::process, 1, 1);
  options.max_calls_per_worker = 2;
  on_manager(options, [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    const auto got3 = co_await lease.run(worker_values::use);
    CHECK(got3 == "model.bin 1");
    const auto got4 = co_await lease.run(worker_values::use);
    CHECK(got4 == "model.bin 2");
    const auto got5 = co_await lease.run(worker_values::use);
    CHECK(got5 == "model.bin 1");
    co_await until(loop, [] { return lives().destroyed == 1; });
    auto dies = lease.run(die_by_signal, SIGKILL);
    const auto got6 = co_await failure_of(std::move(dies));
    CHECK(got6 == Errc::worker_crashed);
    const auto got7 = co_await lease.run(worker_values::use);
    CHECK(got7 == "model.bin 1");
    CHECK(lives().made == 3);
  });
  CHECK(lives().destroyed == 2);
  CHECK(lives().destroyed_elsewhere == 0);
}

TEST_CASE("V2: an object has the time that it takes to end", "[V2]") {
  on_manager(options_with(both_backends(), lp::Initializer(worker_values::load_slowly)),
             [](Manager&) -> lp::Task<> { co_return; });
  check_all_destroyed(2);
}

TEST_CASE("V3: where there is none, or there is one already, the error names the type and what to do", "[V3]") {
  on_manager(options_with(both_backends(), {}, 1, 1), [](Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    const std::string none = co_await message_of(lease.run(worker_values::use));
    CHECK(none == "leasepool: worker_value<worker_values::Model>(): this worker has none; make it in "
                  "ManagerOptions::initializer, with make_worker_value<worker_values::Model>()");
    for (int i = 1; i <= 3; ++i) {
      const int counted = co_await lease.run(worker_values::count);
      CHECK(counted == i);
    }
  });
  CHECK(lp::find_worker_value<worker_values::Model>() == nullptr);
  CHECK_THROWS_AS(lp::worker_value<worker_values::Model>(), std::logic_error);
  CHECK_THROWS_WITH(lp::make_worker_value<int>(1), ContainsSubstring("make_worker_value<int>() is for functions"));

  lp::ManagerOptions options = options_with(both_backends(), {worker_values::load_twice, "model.bin"});
  on_loop(options.backend, [&](lp::Loop& loop, ExecutorBackend) -> lp::Task<> {
    Manager manager(loop, options);
    const std::string twice = co_await message_of(manager.start());
    CHECK_THAT(twice, ContainsSubstring("make_worker_value<worker_values::Model>(): this worker has one already"));
    if (options.backend == ExecutorBackend::thread) CHECK(lives().made == lives().destroyed);
  });
}

TEST_CASE("V3: what the constructor throws fails the start, and leaves nothing", "[V3]") {
  lp::ManagerOptions options = with_model(both_backends());
  on_loop(options.backend, [&](lp::Loop& loop, ExecutorBackend) -> lp::Task<> {
    Manager manager(loop, options);
    lives().refuse = true;
    const std::string refused = co_await message_of(manager.start());
    CHECK_THAT(refused, ContainsSubstring("no such file: model.bin"));
    lives().refuse = false;
    co_await manager.start();
    co_await manager.stop();
  });
  check_all_destroyed(2);
}
