/* The floor of the batch path: what the kernel alone costs. A blocking loop of recvmmsg and sendmmsg on a dual-stack
 * wildcard socket that answers from the address asked (ipv6(7), IPV6_PKTINFO), as ndots does, and looks nothing up: the
 * question comes back with QR set and BYTES more, so that the answer is as long as ndots' is.
 * Compiled and started by speed.ts: floor PORT BYTES */

#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { BATCH = 64, PACKET_BYTES = 4096, CONTROL_BYTES = 64, QR = 0x80, RECEIVE_BUFFER_BYTES = 4 << 20 };

static struct mmsghdr messages[BATCH];
static struct iovec parts[BATCH];
static struct sockaddr_in6 clients[BATCH];
static unsigned char packets[BATCH][PACKET_BYTES];
static _Alignas(struct cmsghdr) unsigned char controls[BATCH][CONTROL_BYTES];

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int open_socket(int port) {
  const int on = 1, off = 0, bytes = RECEIVE_BUFFER_BYTES;
  const struct timeval wait = {.tv_usec = 100000};
  const struct sockaddr_in6 wildcard = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port)};
  int fd = socket(AF_INET6, SOCK_DGRAM, 0);
  if (fd < 0) fail("socket");
  if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0) fail("IPV6_V6ONLY");
  if (setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) < 0) fail("IPV6_RECVPKTINFO");
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0) fail("SO_RCVTIMEO");
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes); /* capped by the kernel, as for the others */
  if (bind(fd, (const struct sockaddr *)&wildcard, sizeof wildcard) < 0) fail("bind");
  return fd;
}

/* The reply leaves by whatever interface the route says, as Knot's and Unbound's do. */
static void clear_interface(struct msghdr *header) {
  for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control != NULL; control = CMSG_NXTHDR(header, control)) {
    if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
      ((struct in6_pktinfo *)CMSG_DATA(control))->ipi6_ifindex = 0;
    }
  }
}

int main(int count, char **arguments) {
  if (count != 3) return fputs("usage: floor PORT BYTES\n", stderr), 2;
  const int fd = open_socket(atoi(arguments[1]));
  const size_t more = (size_t)atoi(arguments[2]);
  for (;;) {
    for (int i = 0; i < BATCH; i++) {
      parts[i] = (struct iovec){packets[i], PACKET_BYTES - more};
      messages[i].msg_hdr = (struct msghdr){.msg_name = &clients[i],
                                            .msg_namelen = sizeof clients[i],
                                            .msg_iov = &parts[i],
                                            .msg_iovlen = 1,
                                            .msg_control = controls[i],
                                            .msg_controllen = CONTROL_BYTES};
    }
    const int received = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
    if (received <= 0) continue;
    for (int i = 0; i < received; i++) {
      packets[i][2] |= QR;
      parts[i].iov_len = messages[i].msg_len + more;
      clear_interface(&messages[i].msg_hdr);
    }
    for (int sent = 0; sent < received;) {
      const int done = sendmmsg(fd, messages + sent, (unsigned)(received - sent), 0);
      sent += done > 0 ? done : 1; /* one that can't be sent is left out */
    }
  }
}
