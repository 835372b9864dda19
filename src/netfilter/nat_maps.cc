#include "sipnat/netfilter/nat_maps.h"

#include <linux/netlink.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "netfilter/nat_maps_codec.h"
#include "netfilter/socket.h"
#include "sipnat/netfilter/ruleset.h"

namespace sipnat::netfilter {
namespace {

constexpr const char* kQueueChain = "to_sipnatd";

std::string table_text(const std::string& table = kMapTable) {
    return "inet " + table;
}

}  // namespace

void NatChanges::append(NatChanges more) {
    std::ranges::move(more.remove, std::back_inserter(remove));
    std::ranges::move(more.add, std::back_inserter(add));
}

struct NatMaps::Impl {
    Impl(Socket opened, const char* name) : socket(std::move(opened)), table(name) {}

    Result<void> commit(std::span<const NatElement> remove, std::span<const NatElement> add) {
        std::uint32_t sequence = 0;
        for (std::uint32_t i = 0; i < kBatchSequences; ++i)
            sequence = socket.next_sequence();
        const auto batch =
            encode_nat_batch(sequence - (kBatchSequences - 1), table.c_str(), remove, add);
        if (!batch) return tl::unexpected(batch.error());
        if (const auto failed = socket.commit(*batch)) {
            return fail_errno("update nft maps", table_text(table), failed.value());
        }
        return {};
    }

    Result<void> commit_all(std::span<const NatElement> remove, std::span<const NatElement> add) {
        while (!remove.empty() || !add.empty()) {
            const auto removed_now = remove.first(std::min(remove.size(), kNatTransaction));
            remove = remove.subspan(removed_now.size());
            // Additions wait for the last removals: the order is the caller's.
            const auto added_now =
                remove.empty() ? add.first(std::min(add.size(), kNatTransaction)) : add.first(0);
            add = add.subspan(added_now.size());
            if (auto done = commit(removed_now, added_now); !done) return done;
        }
        return {};
    }

    Socket socket;
    std::string table;
};

NatMaps::NatMaps(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
NatMaps::NatMaps(NatMaps&&) noexcept = default;
NatMaps& NatMaps::operator=(NatMaps&&) noexcept = default;
NatMaps::~NatMaps() = default;

Result<NatMaps> NatMaps::open(const char* table) {
    auto socket = Socket::open(NETLINK_NETFILTER);
    if (!socket) return in_context("open nft maps", std::move(socket.error()));
    return NatMaps(std::make_unique<Impl>(std::move(*socket), table));
}

Result<void> NatMaps::update(const NatChanges& changes) {
    return impl_->commit_all(changes.remove, changes.add);
}

Result<std::vector<NatElement>> NatMaps::list(NatSet set) {
    const auto sequence = impl_->socket.next_sequence();
    Buffer request;
    encode_list_set(request, sequence, impl_->table.c_str(), set);
    std::vector<NatElement> elements;
    bool readable = true;
    const auto failed = impl_->socket.request(request, sequence, [&](const nlmsghdr& answer) {
        readable = readable && decode_elements(netfilter_attributes(answer), set, elements);
    });
    const auto object = table_text(impl_->table) + " " + name_of(set);
    if (failed) return fail_errno("list nft map", object, failed.value());
    if (!readable) return fail("list nft map", object, "unreadable answer", EPROTO);
    return elements;
}

Result<QueueRule> feed_queue(QueueNumber first, std::uint16_t count) {
    const auto chain = table_text() + " " + kQueueChain;
    const auto last = number(first) + count - 1;
    const auto queues = count == 1 ? std::to_string(number(first))
                                   : std::to_string(number(first)) + "-" + std::to_string(last);
    const auto ruled = run_ruleset("flush chain " + chain + "\nadd rule " + chain +
                                       " counter queue flags bypass to " + queues + "\n",
                                   RulesetMode::load);
    if (ruled) return QueueRule::statement;

    auto socket = Socket::open(NETLINK_NETFILTER);
    if (!socket) return in_context("feed queue", std::move(socket.error()));
    std::uint32_t sequence = 0;
    for (std::uint32_t i = 0; i < kTargetSequences; ++i)
        sequence = socket->next_sequence();
    const auto batch =
        encode_queue_target(sequence - (kTargetSequences - 1), kQueueChain, first, count);
    if (!batch) return tl::unexpected(batch.error());
    if (const auto failed = socket->commit(*batch)) {
        const auto text = ruled.error().text();
        return fail("feed queue", queues,
                    "as nft's queue statement: " + text.substr(0, text.find('\n')) +
                        "; as iptables' NFQUEUE: " + errno_text(failed.value()) +
                        " (modprobe nft_queue, or nft_compat xt_NFQUEUE)",
                    failed.value());
    }
    return QueueRule::target;
}

}  // namespace sipnat::netfilter
