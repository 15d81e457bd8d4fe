SELECT EXISTS (SELECT FROM deltashare_state.idempotency WHERE share_pack_name = %(name)s)
    OR EXISTS (SELECT FROM deltashare.share_packs WHERE share_pack_name = %(name)s) AS taken
