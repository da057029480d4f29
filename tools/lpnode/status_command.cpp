// Which nodes there are, for people and for programs.
#include <leasepool/loop.hpp>
#include <leasepool/node_info.hpp>

#include "../common/standard_streams.hpp"
#include "commands.hpp"
#include "config.hpp"

namespace lpnode {

int status(const StatusOptions& options) {
  Config config = read_config(options.config);
  if (!options.pool.empty()) config.remote.pool = options.pool;
  leasepool::Loop loop;
  leasepool::Result<std::vector<leasepool::NodeInfo>> nodes;
  try {
    leasepool::ask_nodes_async(loop, config.remote, options.wait,
                               [&](leasepool::Result<std::vector<leasepool::NodeInfo>> answer) {
                                 nodes = std::move(answer);
                                 loop.stop();
                               });
  } catch (const std::invalid_argument& error) {
    throw ConfigError(config.located(error.what()));
  }
  loop.run();
  if (!nodes) throw std::runtime_error(nodes.error().message());
  tools::print_text(options.json ? to_json(*nodes) + "\n" : to_text(*nodes));
  return nodes->empty() ? kFailure : kSuccess;
}

}  // namespace lpnode
