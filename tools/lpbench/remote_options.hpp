// How a command reaches the NATS server that nodes are at.
#pragma once

#include <leasepool/remote_options.hpp>

#include "cli.hpp"

namespace lpbench {

// --servers, whose option it returns, and what else says where and who.
CLI::Option* add_remote_options(CLI::App& command, leasepool::RemoteOptions& remote);

}  // namespace lpbench
