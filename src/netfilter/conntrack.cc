#include "sipnat/netfilter/conntrack.h"

#include <linux/netlink.h>

#include <cerrno>

#include "netfilter/conntrack_codec.h"
#include "netfilter/socket.h"

namespace sipnat::netfilter {
namespace {

// A dump comes in datagrams of up to 32 kB, of which the kernel keeps one ahead.
constexpr int kReceiveBuffer = 1 << 20;

bool is_gone(const std::error_code& failed) {
    return failed == std::errc::no_such_file_or_directory;
}

}  // namespace

bool FlowFilter::admits(const FlowEntry& flow) const {
    const Tuple& original = flow.tuples.original;
    return original.source.address.family() == family &&
           (!transport || original.transport == *transport) &&
           (origin == FlowOrigin::any || flow.expected) && ((flow.mark ^ mark) & mark_mask) == 0;
}

struct Conntrack::Impl {
    explicit Impl(Socket opened) : socket(std::move(opened)) {}

    std::error_code request(std::uint32_t sequence, const Socket::Visit& visit = nullptr) {
        const auto failed = socket.request(message, sequence, visit);
        message.clear();
        return failed;
    }

    Result<DecodedFlow> find(const Tuple& tuple) {
        const auto sequence = socket.next_sequence();
        encode_find_flow(message, sequence, tuple);
        std::optional<DecodedFlow> found;
        const auto failed = request(sequence, [&](const nlmsghdr& answer) {
            found = decode_flow(netfilter_attributes(answer));
        });
        if (failed) {
            return fail_errno("find conntrack entry", tuple.text(), failed.value());
        }
        if (!found) {
            return fail("find conntrack entry", tuple.text(), "unreadable answer", EPROTO);
        }
        return std::move(*found);
    }

    std::error_code remove(const Tuple& tuple, std::optional<std::uint32_t> id) {
        const auto sequence = socket.next_sequence();
        encode_remove_flow(message, sequence, tuple, id);
        return request(sequence);
    }

    Socket socket;
    Buffer message;
};

Conntrack::Conntrack(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Conntrack::Conntrack(Conntrack&&) noexcept = default;
Conntrack& Conntrack::operator=(Conntrack&&) noexcept = default;
Conntrack::~Conntrack() = default;

Result<Conntrack> Conntrack::open() {
    auto socket = Socket::open(NETLINK_NETFILTER);
    if (!socket) {
        return in_context("open conntrack", std::move(socket.error()));
    }
    socket->set_receive_buffer(kReceiveBuffer);
    return Conntrack(std::make_unique<Impl>(std::move(*socket)));
}

Result<void> Conntrack::create(const FlowEntry& flow) {
    const auto sequence = impl_->socket.next_sequence();
    encode_create_flow(impl_->message, sequence, flow);
    if (const auto failed = impl_->request(sequence)) {
        return fail_errno("create conntrack entry", flow.tuples.original.text(), failed.value());
    }
    return {};
}

Result<FlowEntry> Conntrack::find(const Tuple& tuple) {
    return impl_->find(tuple).map([](DecodedFlow&& found) { return std::move(found.flow); });
}

Result<void> Conntrack::prolong(const Tuple& original, std::uint32_t seconds) {
    const auto present = find(original);
    if (!present) return tl::unexpected(present.error());
    if (present->timeout >= seconds) return {};
    const auto sequence = impl_->socket.next_sequence();
    encode_prolong_flow(impl_->message, sequence, original, seconds);
    if (const auto failed = impl_->request(sequence)) {
        return fail_errno("prolong conntrack entry", original.text(), failed.value());
    }
    return {};
}

Result<void> Conntrack::shift(const Tuple& original, const SequenceShifts& shifts,
                              const std::optional<StreamMemo>& memo) {
    const auto sequence = impl_->socket.next_sequence();
    encode_shift_flow(impl_->message, sequence, original, shifts, memo);
    if (const auto failed = impl_->request(sequence)) {
        return fail_errno("adjust sequence numbers of", original.text(), failed.value());
    }
    return {};
}

Result<void> Conntrack::remove(const Tuple& tuple) {
    const auto failed = impl_->remove(tuple, std::nullopt);
    if (failed && !is_gone(failed)) {
        return fail_errno("remove conntrack entry", tuple.text(), failed.value());
    }
    return {};
}

Result<bool> Conntrack::remove_if(const Tuple& tuple,
                                  const std::function<bool(const FlowEntry&)>& condition) {
    auto found = impl_->find(tuple);
    if (!found) {
        if (found.error().code == ENOENT) {
            return false;
        }
        return tl::unexpected(std::move(found.error()));
    }
    if (!condition(found->flow)) {
        return false;
    }
    const auto failed = impl_->remove(tuple, found->id);
    if (failed && !is_gone(failed)) {
        return fail_errno("remove conntrack entry", tuple.text(), failed.value());
    }
    return !failed;
}

Result<void> Conntrack::for_each(const FlowFilter& filter,
                                 const std::function<void(const FlowEntry&)>& visit) {
    const auto attempt = [&](KernelFilter kernel) {
        const auto sequence = impl_->socket.next_sequence();
        encode_dump_flows(impl_->message, sequence, filter, kernel);
        return impl_->request(sequence, [&](const nlmsghdr& answer) {
            const auto found = decode_flow(netfilter_attributes(answer));
            if (found && filter.admits(found->flow)) {
                visit(found->flow);
            }
        });
    };
    auto failed = attempt(KernelFilter::full);
    // A kernel that knows a filter but not this one refuses before it lists anything.
    if (failed == std::errc::invalid_argument || failed == std::errc::operation_not_supported) {
        failed = attempt(KernelFilter::family_only);
    }
    if (failed) {
        return fail_errno("list conntrack entries", "", failed.value());
    }
    return {};
}

Result<std::vector<FlowEntry>> Conntrack::dump(const FlowFilter& filter) {
    std::vector<FlowEntry> flows;
    auto listed = for_each(filter, [&](const FlowEntry& flow) { flows.push_back(flow); });
    if (!listed) {
        return tl::unexpected(std::move(listed.error()));
    }
    return flows;
}

}  // namespace sipnat::netfilter
