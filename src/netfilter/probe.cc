#include "sipnat/netfilter/probe.h"

#include <array>
#include <cerrno>

#include "sipnat/netfilter/conntrack.h"
#include "sipnat/netfilter/expectation.h"
#include "sipnat/netfilter/helper.h"
#include "sipnat/netfilter/queue.h"
#include "sipnat/netfilter/ruleset.h"

namespace sipnat::netfilter {
namespace {

// Queues of the probe's own, so that it can run beside a daemon.
constexpr std::uint16_t kProbeQueue = 65535;
constexpr int kAttempts = 4;

constexpr std::uint32_t kDummySeconds = 5;

std::string list_blocks(std::span<const std::filesystem::path> folders,
                        std::span<const std::string_view> modules) {
    std::string text;
    for (const auto& block : find_module_blocks(folders, modules)) {
        text += "; " + block.file.string() + ":" + std::to_string(block.line) + " says `" +
                block.text + "`";
    }
    return text;
}

/// The error if it is our own rights that are missing: then nothing can be found out.
bool is_forbidden(const Error& error) {
    return error.code == EPERM;
}

Result<void> probe_helpers(Probe& probe, QueueNumber queue,
                           std::span<const std::filesystem::path> folders) {
    const auto registered = register_helpers(queue);
    probe.helpers = registered.has_value();
    if (registered) {
        return {};
    }
    if (is_forbidden(registered.error())) {
        return registered;
    }
    constexpr std::array<std::string_view, 1> kModules{"nfnetlink_cthelper"};
    probe.missing.push_back({"user-space conntrack helpers",
                             registered.error().text() + list_blocks(folders, kModules),
                             "modprobe nfnetlink_cthelper (CONFIG_NF_CT_NETLINK_HELPER)"});
    return {};
}

void probe_glue(Probe& probe) {
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        QueueSettings settings;
        settings.first = static_cast<QueueNumber>(kProbeQueue - attempt);
        settings.receive_buffer = 1 << 16;
        const auto queue = Queue::open(settings);
        probe.conntrack_glue = queue.has_value();
        if (queue) {
            return;
        }
        if (queue.error().code != EBUSY || attempt + 1 == kAttempts) {
            probe.missing.push_back(
                {"conntrack entries with queued packets", queue.error().text(),
                 "modprobe nfnetlink_queue nf_conntrack_netlink, or a kernel with "
                 "CONFIG_NETFILTER_NETLINK_GLUE_CT"});
            return;
        }
    }
}

void probe_queue_statement(Probe& probe) {
    const auto checked = run_ruleset(
        "add table inet sipnat_probe\n"
        "add chain inet sipnat_probe probe\n"
        "add rule inet sipnat_probe probe queue flags bypass to 65535\n",
        RulesetMode::check_only);
    probe.queue_statement = checked.has_value();
    if (!checked) {
        // The rest of nft's text points into our own commands.
        const std::string text = checked.error().text();
        probe.missing.push_back({"nft's queue statement", text.substr(0, text.find('\n')),
                                 "modprobe nft_queue (CONFIG_NFT_QUEUE)"});
    }
}

/// An entry between TEST-NET-1 and TEST-NET-2 (RFC 5737), which no packet ever has.
FlowEntry dummy_flow(int attempt) {
    constexpr std::array<std::uint8_t, 4> kInside{192, 0, 2, 1};
    constexpr std::array<std::uint8_t, 4> kRemote{198, 51, 100, 1};
    const auto port = static_cast<Port>(59000 + attempt);
    const Endpoint inside{IpAddress::ipv4(kInside), port};
    const Endpoint remote{IpAddress::ipv4(kRemote), port};
    FlowEntry flow;
    flow.tuples = {{inside, remote, Transport::udp}, {remote, inside, Transport::udp}};
    flow.timeout = kDummySeconds;
    flow.helper = kSignallingHelper;
    return flow;
}

Result<void> try_sip_function() {
    auto conntrack = Conntrack::open();
    auto expectations = Expectations::open();
    if (!conntrack || !expectations) {
        return tl::unexpected(!conntrack ? conntrack.error() : expectations.error());
    }
    for (int attempt = 0;; ++attempt) {
        const FlowEntry flow = dummy_flow(attempt);
        auto created = conntrack->create(flow);
        if (!created && created.error().code == EEXIST && attempt + 1 < kAttempts) {
            continue;  // another probe at this very moment
        }
        if (!created) {
            return created;
        }
        Expectation expectation;
        expectation.master = flow.tuples.original;
        expectation.match = {Endpoint{}, flow.tuples.original.source, Transport::udp};
        expectation.nat = flow.tuples.original.source;
        auto expected = expectations->create(expectation);
        // With its master the expectation goes too, as far as it was made.
        auto removed = conntrack->remove(flow);
        return expected ? removed : expected;
    }
}

Result<void> probe_sip_function(Probe& probe, std::span<const std::filesystem::path> folders) {
    const auto tried = try_sip_function();
    probe.sip_function = tried.has_value();
    if (tried) {
        return {};
    }
    if (is_forbidden(tried.error())) {
        return tried;
    }
    constexpr std::array<std::string_view, 2> kModules{"nf_nat_sip", "nf_conntrack_sip"};
    const std::string blocks = list_blocks(folders, kModules);
    probe.missing.push_back(
        {"expectation function \"sip\" of nf_nat_sip", tried.error().text() + blocks,
         blocks.empty() ? "modprobe nf_nat_sip"
                        : "remove these lines, then modprobe nf_nat_sip (the in-kernel helper "
                          "stays unused: only its NAT function is)"});
    return {};
}

}  // namespace

Result<Probe> probe_kernel(QueueNumber queue,
                           std::span<const std::filesystem::path> modprobe_folders) {
    Probe probe;
    if (auto done = probe_helpers(probe, queue, modprobe_folders); !done) {
        return in_context("probe kernel", std::move(done.error()));
    }
    probe_glue(probe);
    probe_queue_statement(probe);
    if (probe.helpers) {
        if (auto done = probe_sip_function(probe, modprobe_folders); !done) {
            return in_context("probe kernel", std::move(done.error()));
        }
    }
    return probe;
}

Result<Probe> probe_kernel(QueueNumber queue) {
    const std::vector<std::filesystem::path> folders(std::begin(kModprobeFolders),
                                                     std::end(kModprobeFolders));
    return probe_kernel(queue, folders);
}

}  // namespace sipnat::netfilter
