// Pools on nodes, through a real NATS server on loopback: how long acquires, expiries, lost nodes and a lost server
// take to be noticed; how fast a large argument gets there; and what an acquire costs among a thousand simulated nodes.
#include <cstdio>

#include "figures/nodes.hpp"
#include "figures/report.hpp"
#include "nats/nats_server.hpp"

int main(int argc, char** argv) {
  if (figures::run_node(argc, argv)) return 0;
  leasepool::init();
  const figures::Options options(argc, argv, "Pools on nodes, through a NATS server on loopback.",
                                 {{"acquires", 300, "on an idle node"},
                                  {"leases", 200, "that expire"},
                                  {"large", 9, "arguments of 64 MiB"},
                                  {"lost", 8, "nodes that are killed at about the same time"},
                                  {"rounds", 3, "of that"},
                                  {"restarts", 15, "of a node, and of the server"},
                                  {"nodes", 1000, "that are simulated"},
                                  {"simulated", 500, "acquires among them"}},
                                 {{"acquires", 10, {}},
                                  {"leases", 5, {}},
                                  {"large", 1, {}},
                                  {"lost", 1, {}},
                                  {"rounds", 1, {}},
                                  {"restarts", 1, {}},
                                  {"nodes", 100, {}},
                                  {"simulated", 20, {}}});
  figures::Report report(options);
  figures::add_many_nodes(report, options);
  if (leasepool::test::NatsServer::program().empty()) {
    report.note("There is no nats-server: what needs one was not measured.");
  } else {
    figures::add_acquires(report, options);
    figures::add_expiries(report, options);
    figures::add_large_arguments(report, options);
    figures::add_server_restarts(report, options);
    figures::add_restarted_nodes(report, options);
    figures::add_lost_nodes(report, options);
    report.note("Caller, server and nodes are processes of one machine. A round trip is an empty message to a node's "
                "loop and back, through the server.");
  }
  report.print();
}
