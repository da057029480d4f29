// gRPC: unary calls over Unix sockets, or TCP over loopback (the build says which), to two worker processes, each with
// a server of one thread; both sides on completion queues. The client's is the loop: it hands each end to the loop's
// own thread, where the callbacks of the other API come on gRPC's threads and would have to be passed on.
#include <grpcpp/grpcpp.h>
#include <worker.grpc.pb.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "alarms.hpp"
#include "grpc_address.hpp"
#include "scenario.hpp"
#include "worker_process.hpp"

namespace {

using peers::Alarm;
using peers::schema::Number;
using Stub = peers::schema::Worker::Stub;

// In a worker process: takes a call, answers it, and is there for the next.
class Answer {
 public:
  Answer(peers::schema::Worker::AsyncService& service, grpc::ServerCompletionQueue& queue)
      : service_(service), queue_(queue) {
    take_next();
  }

  void advance() {
    if (answered_) return take_next();
    answered_ = true;
    reply_.set_value(peers::nothing(request_.value()));
    responder_->Finish(reply_, grpc::Status::OK, this);
  }

 private:
  void take_next() {
    answered_ = false;
    responder_.reset();
    context_.emplace();
    responder_.emplace(&*context_);
    service_.RequestNothing(&*context_, &request_, &*responder_, &queue_, &queue_, this);
  }

  peers::schema::Worker::AsyncService& service_;
  grpc::ServerCompletionQueue& queue_;
  std::optional<grpc::ServerContext> context_;
  std::optional<grpc::ServerAsyncResponseWriter<Number>> responder_;
  Number request_;
  Number reply_;
  bool answered_ = false;
};

template <class Ready>
void serve(const std::string& address, const Ready& ready, std::size_t most_in_flight) {
  peers::schema::Worker::AsyncService service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) peers::fail("gRPC cannot listen at " + address);
  std::vector<std::unique_ptr<Answer>> answers;
  while (answers.size() < most_in_flight) answers.push_back(std::make_unique<Answer>(service, *queue));
  ready();
  void* tag = nullptr;
  bool fine = false;
  while (queue->Next(&tag, &fine)) {
    if (!fine) peers::fail("gRPC lost a call");
    static_cast<Answer*>(tag)->advance();
  }
}

class Grpc {
 public:
  static constexpr const char* kName = LEASEPOOL_PEER_TCP ? "grpc-tcp" : "grpc";
  static std::string version() { return grpc::Version(); }

  Grpc(peers::Caller& caller, const peers::Scenario& scenario)
      : caller_(caller), workers_{worker(0, scenario), worker(1, scenario)}, calls_(scenario.most_in_flight) {
    for (const peers::GrpcAddress& address : addresses_) {
      const auto channel = grpc::CreateChannel(address.text(), grpc::InsecureChannelCredentials());
      if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10))) {
        peers::fail("gRPC cannot connect to a worker");
      }
      stubs_.push_back(peers::schema::Worker::NewStub(channel));
    }
  }
  Grpc(const Grpc&) = delete;
  Grpc& operator=(const Grpc&) = delete;
  ~Grpc() { queue_.Shutdown(); }

  void call(std::size_t slot, std::uint64_t argument) {
    Call& call = calls_[slot];
    call.response.reset();  // lies in the context's memory
    call.context.emplace();
    call.request.set_value(argument);
    call.response = stubs_[slot % stubs_.size()]->AsyncNothing(&*call.context, call.request, &queue_);
    call.response->Finish(&call.reply, &call.status, &call);
  }

  void set_alarm(Alarm alarm, std::chrono::milliseconds delay) { alarms_.set(alarm, delay); }

  void run() {
    while (!stopped_) {
      void* tag = nullptr;
      bool fine = false;
      const auto deadline =
          gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(alarms_.next().count(), GPR_TIMESPAN));
      if (queue_.AsyncNext(&tag, &fine, deadline) == grpc::CompletionQueue::GOT_EVENT) end(*static_cast<Call*>(tag));
      alarms_.ring_those_due(caller_);
    }
  }
  void stop() { stopped_ = true; }

 private:
  struct Call {
    std::optional<grpc::ClientContext> context;
    Number request;
    Number reply;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<Number>> response;
  };

  [[nodiscard]] peers::WorkerProcess worker(std::size_t number, const peers::Scenario& scenario) const {
    return {number, [&](const std::string& /*name*/, const auto& ready) {
              serve(addresses_[number].text(), ready, scenario.most_in_flight);
            }};
  }

  void end(Call& call) {
    if (!call.status.ok()) peers::fail("gRPC: " + call.status.error_message());
    caller_.ended(static_cast<std::size_t>(&call - calls_.data()), call.reply.value());
  }

  peers::Caller& caller_;
  peers::GrpcAddress addresses_[peers::kWorkers] = {peers::GrpcAddress(0), peers::GrpcAddress(1)};
  peers::WorkerProcess workers_[peers::kWorkers];  // before all else of gRPC
  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<Stub>> stubs_;
  std::vector<Call> calls_;
  peers::Alarms alarms_;
  bool stopped_ = false;
};

}  // namespace

int main(int count, char** arguments) { return peers::run_peer<Grpc>(count, arguments); }
