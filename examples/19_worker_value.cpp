// A model for each worker: loaded once by the initializer, used by each call without a lock, closed with the worker.
#include <leasepool/leasepool.hpp>

#include <chrono>
#include <iostream>
#include <map>
#include <string>

// Stands for what is slow to load and must not be used by two threads at once.
class Model {
 public:
  explicit Model(const std::string& language) : greetings_{{"en", "hello"}, {"fr", "bonjour"}, {"de", "hallo"}} {
    greeting_ = greetings_.at(language);
  }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  ~Model() { leasepool::log(leasepool::LogLevel::info, "the model is closed"); }

  std::string greet(const std::string& name) { return greeting_ + ' ' + name + ", " + std::to_string(++calls_); }

 private:
  std::map<std::string, std::string> greetings_;
  std::string greeting_;
  int calls_ = 0;
};

void load_model(const std::string& language) { leasepool::make_worker_value<Model>(language); }
LEASEPOOL_REGISTER(load_model);

std::string greet(const std::string& name) { return leasepool::worker_value<Model>().greet(name); }
LEASEPOOL_REGISTER(greet);

leasepool::Task<> app(leasepool::Loop& loop, leasepool::ExecutorBackend backend) {
  leasepool::ManagerOptions options{.backend = backend, .max_pools = 1, .workers_per_pool = 1};
  options.initializer = {load_model, "fr"};
  leasepool::LeasedExecutorManager manager(loop, options);
  co_await manager.start();  // the model is loaded
  {
    const leasepool::ExecutorLease lease = co_await manager.acquire({.owner = "greetings"});
    for (const char* const name : {"Ada", "Grace"}) std::cout << co_await lease.run(greet, name) << '\n';
  }
  co_await manager.stop();  // the model is closed

  options.initializer = {load_model, "xx"};
  leasepool::LeasedExecutorManager broken(loop, options);
  try {
    co_await broken.start();
  } catch (const leasepool::LeasePoolError&) {
    std::cout << "without its model no worker starts\n";
  }
}

int main() {
  leasepool::init();
  leasepool::Loop loop;
  std::cout << "threads\n";
  loop.block_on(app(loop, leasepool::ExecutorBackend::thread));
  std::cout << "processes\n";
  loop.block_on(app(loop, leasepool::ExecutorBackend::process));
}
