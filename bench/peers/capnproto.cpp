// Cap'n Proto: RPC over Unix sockets to two worker processes, with its own loop on both sides.
#include <kj/string.h>

#include <concepts>

// Versions before 1.0 leave this to C++20's rewritten comparisons, for which Clang looks in a class without operator!=
// alone.
namespace kj {
template <std::same_as<StringPtr> String>
bool operator==(const char* left, const String& right) {
  return right == StringPtr(left);
}
template <std::same_as<StringPtr> String>
bool operator!=(const char* left, const String& right) {
  return right != StringPtr(left);
}
}  // namespace kj

#include <capnp/common.h>
#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>
#include <worker.capnp.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "scenario.hpp"
#include "worker_process.hpp"

namespace {

using peers::Alarm;
using peers::schema::Worker;

kj::Own<kj::NetworkAddress> address_of(kj::AsyncIoContext& io, const std::string& name) {
  return io.provider->getNetwork().parseAddress("unix-abstract:" + name).wait(io.waitScope);
}

class Answerer final : public Worker::Server {
  kj::Promise<void> nothing(NothingContext context) override {
    context.getResults().setResult(peers::nothing(context.getParams().getArgument()));
    return kj::READY_NOW;
  }
};

constexpr auto kServe = [](const std::string& name, const auto& ready) {
  kj::AsyncIoContext io = kj::setupAsyncIo();
  capnp::TwoPartyServer server(kj::heap<Answerer>());
  kj::Own<kj::ConnectionReceiver> listener = address_of(io, name)->listen();
  ready();
  server.listen(*listener).wait(io.waitScope);
};

class Capnproto {
 public:
  static constexpr const char* kName = "capnproto";
  static std::string version() {
    return std::to_string(CAPNP_VERSION_MAJOR) + '.' + std::to_string(CAPNP_VERSION_MINOR) + '.' +
           std::to_string(CAPNP_VERSION_MICRO);
  }

  Capnproto(peers::Caller& caller, const peers::Scenario& /*scenario*/) : caller_(caller) {
    for (const peers::WorkerProcess& worker : workers_) {
      connections_.push_back(address_of(io_, worker.name())->connect().wait(io_.waitScope));
      clients_.push_back(kj::heap<capnp::TwoPartyClient>(*connections_.back()));
      stubs_.push_back(clients_.back()->bootstrap().castAs<Worker>());
    }
  }

  void call(std::size_t slot, std::uint64_t argument) {
    auto request = stubs_[slot % stubs_.size()].nothingRequest();
    request.setArgument(argument);
    request.send()
        .then([this, slot](const capnp::Response<Worker::NothingResults>& response) {
          caller_.ended(slot, response.getResult());
        })
        .detach(fail);
  }

  void set_alarm(Alarm alarm, std::chrono::milliseconds delay) {
    io_.provider->getTimer()
        .afterDelay(delay.count() * kj::MILLISECONDS)
        .then([this, alarm] { caller_.rang(alarm); })
        .detach(fail);
  }

  void run() { end_.promise.wait(io_.waitScope); }
  void stop() { end_.fulfiller->fulfill(); }

 private:
  static void fail(const kj::Exception& exception) { peers::fail(exception.getDescription().cStr()); }

  peers::Caller& caller_;
  peers::WorkerProcess workers_[peers::kWorkers] = {{0, kServe}, {1, kServe}};
  kj::AsyncIoContext io_ = kj::setupAsyncIo();
  std::vector<kj::Own<kj::AsyncIoStream>> connections_;
  std::vector<kj::Own<capnp::TwoPartyClient>> clients_;
  std::vector<Worker::Client> stubs_;
  kj::PromiseFulfillerPair<void> end_ = kj::newPromiseAndFulfiller<void>();
};

}  // namespace

int main(int count, char** arguments) { return peers::run_peer<Capnproto>(count, arguments); }
