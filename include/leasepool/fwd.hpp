// All public types, declared: for headers that only name them.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

namespace leasepool {

template <class T, class Starter>
class Awaitable;
template <class Arg, class R>
class BatchVerbs;
class Error;
class ExecutorLease;
class Fd;
class File;
class GrinderCalls;
class Histogram;
class Initializer;
class IoError;
class LeaseCalls;
class LeasePoolError;
class LeasedExecutorManager;
class Loop;
class Node;
template <class R>
class Pending;
class Sandbox;
class SharedBuffer;
class SignalSet;
class Stream;
template <class T = void>
class Task;
class TaskGroup;
class TcpListener;
class TimeSpan;
class Timer;
class UnixListener;
class WorkGrinder;

struct AcquireOptions;
struct Address;
struct BatchOptions;
struct CallOptions;
struct DurationBucket;
struct DurationSummary;
struct Endpoint;
struct GrinderOptions;
struct GrinderStats;
struct IoOptions;
struct ItemOptions;
struct LeaseStats;
struct LogRecord;
struct LoopOptions;
struct ManagerOptions;
struct ManagerStats;
struct NodeInfo;
struct NodeLeaseStats;
struct NodeStats;
struct OpenOptions;
struct RemoteNodeStats;
struct RemoteOptions;
struct RunningCall;
struct SandboxStats;
struct StackFrame;
struct StatsServerOptions;
struct TaskGroupOptions;
struct TraceOptions;
struct UnixEndpoint;
struct WaiterStats;
struct WorkerCrash;
struct WorkerLimits;
struct WorkerStats;

enum class Errc;
enum class ExecutorBackend;
enum class FileMode;
enum class KillScope;
enum class LogLevel;
enum class LogSource;
enum class LoopEngine;
enum class MemoryBound;
enum class NodeState;
enum class RemoteMatch;
enum class WorkerReuse;

}  // namespace leasepool

#endif
