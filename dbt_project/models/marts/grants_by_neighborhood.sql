with

programmes as (

    select
        programme_id,
        active,
        coalesce(neighborhood, 'unknown') as neighborhood
    from {{ ref('stg_community_programmes__programmes') }}

),

placed as (

    -- A grant stays when its programme is gone from the base, or couldn't be read.
    select
        grants.amount,
        coalesce(programmes.neighborhood, 'unknown') as neighborhood
    from {{ ref('stg_community_grants__grants') }} as grants
    left join programmes on grants.programme_id = programmes.programme_id
    where grants.status = 'granted'

),

granted as (

    select
        neighborhood,
        count(*) as grants,
        sum(amount) as amount
    from placed
    group by neighborhood

),

there as (

    select
        neighborhood,
        count(*) as programmes,
        count_if(active) as active_programmes
    from programmes
    group by neighborhood

)

select
    coalesce(there.neighborhood, granted.neighborhood) as neighborhood,
    coalesce(there.programmes, 0)::number(18, 0) as programmes,
    coalesce(there.active_programmes, 0)::number(18, 0) as active_programmes,
    coalesce(granted.grants, 0)::number(18, 0) as grants,
    coalesce(granted.amount, 0)::number(38, 2) as granted
from there
full outer join granted on there.neighborhood = granted.neighborhood
