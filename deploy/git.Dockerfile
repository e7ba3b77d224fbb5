# A Git server of a fleet by SSH, as a user without rights, with keys only: one bare repository for a workspace.
#   docker compose --file deploy/fleet.yaml run --rm --entrypoint git git init --bare --initial-branch=main /srv/elp/foundry.git    (once)
FROM debian:bookworm-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git openssh-server \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 --shell /usr/bin/git-shell elp \
    && install --directory --owner elp --group elp /srv/elp /run/sshd /home/elp/ssh
USER elp
VOLUME /srv/elp

EXPOSE 2222
# its own keys are made once and stay with the repositories
CMD ["sh", "-c", "test -f /srv/elp/.ssh-host-key || ssh-keygen -q -t ed25519 -N '' -f /srv/elp/.ssh-host-key; \
    exec /usr/sbin/sshd -D -e -p 2222 -h /srv/elp/.ssh-host-key -o PidFile=none -o UsePAM=no \
    -o PasswordAuthentication=no -o KbdInteractiveAuthentication=no -o AllowTcpForwarding=no -o StrictModes=no \
    -o AuthorizedKeysFile=/etc/elp-git/authorized_keys"]
